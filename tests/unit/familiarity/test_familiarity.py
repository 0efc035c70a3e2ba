from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnivec2.arrays import Array
from omnivec2.errors import ArtifactError
from omnivec2.familiarity import Familiarity, TrainingReference, read_training_reference
from omnivec2.familiarity.fit_reference import fit_reference
from omnivec2.familiarity.training_reference import Packed

WIDTH, RANK = 24, 3
BASIS = np.random.default_rng(1).normal(size=(RANK, WIDTH))


def rows(count: int, seed: int, noise: float = 0.05) -> dict[str, Array]:
    """Rows near a plane of three dimensions in two summaries."""
    rng = np.random.default_rng(seed)
    near = rng.normal(size=(count, RANK)) @ BASIS + noise * rng.normal(size=(count, WIDTH))
    return {"f_mean": near.astype(np.float32), "f_input_mean": (2 * near + 1).astype(np.float32)}


REFERENCE = fit_reference(
    rows(400, 1),
    rows(300, 2),
    scores=np.tile([[0.9, 0.1], [0.3, 0.7]], (150, 1)),
    parts={"trunk": "abc"},
    dimensions=RANK,
)


def test_rows_like_those_of_training_are_within_one_and_others_beyond() -> None:
    familiarity = Familiarity(REFERENCE)
    assert (familiarity.distances(rows(1000, 3)) > 1).mean() < 0.01
    rng = np.random.default_rng(4)
    beside = {name: rng.normal(size=(50, WIDTH)) for name in REFERENCE.summaries}
    assert (familiarity.distances(beside) > 1).all()
    along = {name: array * 30 for name, array in rows(50, 5).items()}
    assert (familiarity.distances(along) > 1).mean() > 0.9


def test_one_strange_summary_is_enough() -> None:
    strange = rows(20, 6)
    strange["f_mean"] = strange["f_mean"] + 5
    assert (Familiarity(REFERENCE).distances(strange) > 1).all()


def test_coordinates_of_training_rows_have_mean_zero_and_deviation_one() -> None:
    coordinates = Familiarity(REFERENCE).coordinates(rows(2000, 7))
    assert coordinates.shape == (2000, 2 * RANK)
    np.testing.assert_allclose(coordinates.mean(axis=0), 0, atol=0.2)
    np.testing.assert_allclose(coordinates.std(axis=0), 1, atol=0.2)


def test_a_reference_says_how_rows_and_scores_were_distributed() -> None:
    assert REFERENCE.inside >= 0.995
    assert (REFERENCE.rows, REFERENCE.held_out, REFERENCE.parts) == (400, 300, {"trunk": "abc"})
    assert len(REFERENCE.distance_deciles) == 9
    assert list(REFERENCE.distance_deciles) == sorted(REFERENCE.distance_deciles)
    assert REFERENCE.label_shares == (0.5, 0.5)
    assert (REFERENCE.score_deciles[0], REFERENCE.score_deciles[-1]) == (0.7, 0.9)


def test_a_reference_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "training_reference.json"
    assert read_training_reference(path) is None
    path.write_text(REFERENCE.model_dump_json())
    assert read_training_reference(path) == REFERENCE
    same = Familiarity(TrainingReference.model_validate_json(path.read_bytes()))
    some = rows(5, 8)
    np.testing.assert_array_equal(same.distances(some), Familiarity(REFERENCE).distances(some))


def test_a_file_that_is_no_reference_is_refused_by_the_name_of_its_fault(tmp_path: Path) -> None:
    path = tmp_path / "training_reference.json"
    path.write_text(REFERENCE.model_dump_json().replace('"limit":', '"limits":'))
    with pytest.raises(ArtifactError, match="limit"):
        read_training_reference(path)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_packed_arrays_come_back_nearly_as_they_were(dtype: str) -> None:
    array = np.random.default_rng(9).normal(size=(4, 50)) * [[1], [10], [0.1], [0]]
    packed = Packed.of(array, dtype)
    peak = np.abs(array).max(axis=1, keepdims=True)
    assert (np.abs(packed.unpack() - array) <= peak / 250 + 1e-7).all()


@pytest.mark.parametrize("changes", [{"data": "?"}, {"data": "AAAA"}, {"shape": (3, 7)}])
def test_a_broken_array_is_refused(changes: dict[str, object]) -> None:
    broken = Packed.of(np.ones((2, 2))).model_copy(update=changes)
    with pytest.raises(ArtifactError, match="broken"):
        broken.unpack()


def test_directions_of_another_width_are_refused() -> None:
    plane = REFERENCE.planes["f_mean"].model_copy(update={"mean": Packed.of(np.zeros(7))})
    with pytest.raises(ArtifactError, match="another shape"):
        Familiarity(REFERENCE.model_copy(update={"planes": {"f_mean": plane}}))
