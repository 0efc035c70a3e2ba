from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from omnivec2.arrays import Array
from omnivec2.familiarity import Familiarity
from omnivec2.familiarity.drift import LEAST_ROWS, describe_rows, fit_drift
from omnivec2.familiarity.drift_reference import DriftReference
from omnivec2.familiarity.fit_reference import fit_reference

DIMENSIONS = 12


def rows(count: int, seed: int, mean: float = 0.0, deviation: float = 1.0) -> Array:
    return np.random.default_rng(seed).normal(mean, deviation, (count, DIMENSIONS))


REFERENCE = fit_drift(rows(600, 1))
assert REFERENCE is not None


@pytest.mark.parametrize("length", [50, 130, 400])
def test_rows_of_the_same_kind_stay_below_the_level(length: int) -> None:
    level = REFERENCE.level(length)
    distances = [REFERENCE.distance(rows(length, seed)) for seed in range(100, 300)]
    assert np.mean(np.array(distances) > level) <= 0.01
    assert max(distances) > level / 4  # nor is the level far above them


@pytest.mark.parametrize(
    ("mean", "deviation"), [(0.4, 1.0), (0.0, 1.5), (0.0, 0.5)], ids=["mean", "wide", "narrow"]
)
def test_a_shift_of_the_mean_or_of_the_spread_exceeds_it(mean: float, deviation: float) -> None:
    shifted = rows(200, 2, mean, deviation)
    assert REFERENCE.distance(shifted) > REFERENCE.level(200)


def test_longer_windows_have_lower_levels() -> None:
    levels = [REFERENCE.level(length) for length in (10, 25, 75, 100, 800, 5000)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == levels[1]
    assert levels[-2] == levels[-1]


def test_too_few_rows_make_no_reference() -> None:
    assert fit_drift(rows(LEAST_ROWS - 1, 3)) is None
    few, many = fit_drift(rows(LEAST_ROWS, 3)), REFERENCE
    assert few is not None
    assert few.level(200) > many.level(200)  # an estimate from few rows is trusted less


def test_coordinates_that_never_change_do_not_divide_by_zero() -> None:
    constant = np.ones((100, 3))
    reference = fit_drift(constant)
    assert reference is not None
    assert np.isfinite(reference.distance(constant))


def test_a_reference_of_a_head_describes_rows_by_place_and_distance() -> None:
    rng = np.random.default_rng(4)
    train, held_out = ({"f_mean": rng.normal(size=(n, 30))} for n in (300, 200))
    reference = fit_reference(train, held_out, dimensions=4)
    assert reference.drift is not None
    assert reference.drift.rows == 200
    familiarity = Familiarity(reference)
    described = describe_rows(familiarity, held_out)
    assert described.shape == (200, 5)
    np.testing.assert_allclose(described[:, 4], np.log(familiarity.distances(held_out)), rtol=1e-5)
    assert reference.drift.distance(described) < reference.drift.level(200)


def test_a_reference_whose_lists_do_not_match_is_refused() -> None:
    fields = REFERENCE.model_dump() | {"levels": (1.0,)}
    with pytest.raises(ValidationError, match="levels as windows"):
        DriftReference.model_validate(fields)
