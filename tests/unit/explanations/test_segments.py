"""The segments of every modality, on inputs that people have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from omnivec2.explanations import can_explain, occlude
from omnivec2.explanations.occlusion import MaskedSamples, Occlusion
from omnivec2.preprocess import Prepared, Preprocessor, preprocessor_type
from omnivec2.spec import Modality, TaskFamily
from tests.support.documents import ROOT
from tests.support.model_repositories.tiny_models import (
    COLUMNS,
    classification,
    head_spec,
    tiny_heads,
)

SAMPLES = ROOT / "service/static/samples"
FILES = {
    "image": "cat.jpg",
    "xray": "chest_pneumonia.png",
    "infrared": "car.png",
    "video": "fight.mp4",
    "depth": "ball_sequence.npy",
    "audio": "dog_bark.ogg",
    "imu": "walk.csv",
    "timeseries": "hourly.csv",
    "text": "review.txt",
    "graph": "caffeine.smi",
    "pointcloud": "chair.ply",
}


def preprocessor(modality: str, **parameters: Any) -> Preprocessor[Any, Any]:
    kind = preprocessor_type(Modality(modality))
    if modality == "tabular":
        parameters = {"columns": COLUMNS}
    return kind(kind.parameters_type.model_validate(parameters))


def prepared_sample(own: Preprocessor[Any, Any]) -> Prepared:
    modality = own.modality.value
    if modality == "tabular":
        return own.prepare(own.decode_json([{"age": 50, "workclass": "Private"}]))
    if modality == "hyperspectral":
        bumpy: Any = [1000 + 37 * band % 101 for band in range(204)]
        return own.prepare(own.decode_json(bumpy))
    whole = own.prepare(own.decode((SAMPLES / FILES[modality]).read_bytes()))
    is_whole = whole.context.get("reduce", "mean") == "mean"
    return whole if is_whole else Prepared([whole.samples[0]], whole.context)


def segments(modality: str, most: int = 64, **parameters: Any) -> tuple[Prepared, Occlusion]:
    own = preprocessor(modality, **parameters)
    prepared = prepared_sample(own)
    return prepared, occlude(own, prepared, most)


def text_segments(value: Any, most: int = 64, *, pair: bool = False) -> Occlusion:
    own = preprocessor("text", pair=pair)
    return occlude(own, own.prepare(own.decode_json(value)), most)


def places(occlusion: Occlusion) -> list[Mapping[str, Any]]:
    return [segment.place for segment in occlusion.segments]


@pytest.mark.parametrize("most", [64, 3, 1])
@pytest.mark.parametrize("modality", [modality.value for modality in Modality])
def test_every_segment_masks_a_sample_that_the_network_can_take(modality: str, most: int) -> None:
    own = preprocessor(modality)
    prepared = prepared_sample(own)
    occlusion = occlude(own, prepared, most)
    masked = MaskedSamples(occlusion)
    assert 1 <= len(occlusion.segments) <= most
    json.dumps([occlusion.extent, places(occlusion)], allow_nan=False)
    assert len({json.dumps(place) for place in places(occlusion)}) == len(occlusion.segments)
    for (_, index), sample in zip(masked.pairs, masked, strict=True):
        original = prepared.samples[index]
        assert sample.keys() == original.keys()
        for tensor in own.inputs:
            array = sample[tensor.name]
            assert array.dtype == original[tensor.name].dtype
            for have, want in zip(array.shape, tensor.shape, strict=True):
                assert have == want or want == -1
            assert np.isfinite(array.astype(np.float64)).all()
    changed = [
        any(not np.array_equal(sample[n], prepared.samples[pair[1]][n]) for n in sample)
        for pair, sample in zip(masked.pairs, masked, strict=True)
    ]
    assert np.mean(changed) > 0.5
    # What is masked is a copy: the input itself stays as it was.
    again = prepared_sample(own)
    for before, after in zip(prepared.samples, again.samples, strict=True):
        assert all(np.array_equal(before[name], after[name]) for name in before)


def test_words_are_whole_and_lie_where_they_do_in_the_text() -> None:
    sentence = "An unforgettably 'good' film – naïve, 😀 but good."
    words = [sentence[place["start"] : place["end"]] for place in places(text_segments(sentence))]
    assert words[:5] == ["An", "unforgettably", "'", "good", "'"]
    assert {"naïve", "😀"} <= {*words}


def test_many_words_are_put_together_with_their_neighbours() -> None:
    occlusion = text_segments("one two three four five six", most=3)
    assert places(occlusion)[0] == {"text": 0, "start": 0, "end": 7}
    assert occlusion.unit == "runs of words"


def test_words_of_a_pair_say_which_text_they_are_of() -> None:
    pair = {"text": "A dog.", "text_pair": "An animal."}
    found = places(text_segments(pair, pair=True))
    assert {place["text"] for place in found} == {0, 1}
    assert found[-2] == {"text": 1, "start": 3, "end": 9}
    both = places(text_segments(pair, 1, pair=True))
    assert both == [{"text": 0, "start": 0, "end": 6, "and": {"text": 1, "start": 0, "end": 10}}]


def test_columns_are_named_and_become_missing() -> None:
    _, occlusion = segments("tabular")
    assert places(occlusion) == [{"column": "age"}, {"column": "workclass"}]
    without_age = occlusion.mask(0, 0)
    assert without_age["missing"].tolist() == [1]
    assert occlusion.mask(1, 0)["categories"].tolist() == [0]


def test_columns_that_share_a_segment_are_all_named() -> None:
    _, occlusion = segments("tabular", most=1)
    assert places(occlusion) == [{"columns": ["age", "workclass"]}]


def test_atoms_have_the_indices_of_the_molecule_as_it_was_written() -> None:
    own = preprocessor("graph")
    for smiles, oxygen in (("OCC", 0), ("CCO", 2), ("[H]OCC", 0)):
        prepared = own.prepare(own.decode_json(smiles))
        occlusion = occlude(own, prepared, 64)
        is_oxygen = prepared.samples[0]["nodes"][:, 0] == 7
        (at,) = np.flatnonzero(is_oxygen)
        assert occlusion.segments[int(at)].place == {"atom": oxygen}
        assert 7 not in occlusion.mask(int(at), 0)["nodes"][:, 0]
        assert occlusion.extent == {"atoms": 3, "order": "input"}


def test_atoms_of_an_edge_list_have_its_indices_and_those_of_an_inchi_none() -> None:
    own = preprocessor("graph")
    ids = {"nodes": [[5, 0, 1, 5, 3, 0, 2, 0, 0], [7, 0, 1, 5, 1, 0, 2, 0, 0]], "edges": [[0, 1]]}
    prepared = own.prepare(own.decode_json(ids))
    occlusion = occlude(own, prepared, 64)
    (oxygen,) = np.flatnonzero(prepared.samples[0]["nodes"][:, 0] == 7)
    assert occlusion.segments[int(oxygen)].place == {"atom": 1}
    inchi = own.prepare(own.decode_json("InChI=1S/CH4O/c1-2/h2H,1H3"))
    assert occlude(own, inchi, 64).extent["order"] == "canonical"


def test_a_removed_atom_takes_its_bonds_along() -> None:
    own = preprocessor("graph")
    occlusion = occlude(own, own.prepare(own.decode_json("CCO")), 64)
    bonds = [int(occlusion.mask(at, 0)["edge_mask"].sum()) for at in range(3)]
    assert sorted(bonds) == [0, 1, 1]
    (alone,) = [occlude(own, own.prepare(own.decode_json("C")), 64).mask(0, 0)]
    assert alone["nodes"].tolist() == [[0] * 9]


def test_times_of_a_recording_end_with_it() -> None:
    _, occlusion = segments("audio")
    found = places(occlusion)
    assert found[0]["start"] == 0
    assert found[-1]["end"] == occlusion.extent["seconds"]
    assert all(a["end"] == b["start"] for a, b in pairwise(found))


def test_parts_of_a_recording_that_no_window_shows_are_left_out() -> None:
    own = preprocessor("imu", window=8, max_windows=2)
    whole = own.prepare(own.decode((SAMPLES / "walk.csv").read_bytes()))
    occlusion = occlude(own, whole, 1000)
    covered = sum(place["end"] - place["start"] for place in places(occlusion))
    assert covered < 0.5 * occlusion.extent["seconds"]
    assert {sample for segment in occlusion.segments for sample in segment.samples} == {0, 1}


def test_steps_of_a_series_are_counted_from_its_end() -> None:
    _, occlusion = segments("timeseries")
    assert places(occlusion)[0]["first_step"] == -336
    assert places(occlusion)[-1]["last_step"] == -1
    assert occlusion.extent == {"steps": 336}


def test_every_finite_point_is_in_one_segment() -> None:
    own = preprocessor("pointcloud")
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(2000, 3)).tolist()
    cloud[7] = [None, None, None]
    occlusion = occlude(own, own.prepare(own.decode_json(cloud)), 10)
    found = [point for place in places(occlusion) for point in place["points"]]
    assert sorted(found) == [point for point in range(2000) if point != 7]


def test_a_masked_cloud_is_what_is_left_of_it_prepared_again() -> None:
    own = preprocessor("pointcloud")
    rng = np.random.default_rng(0)
    # A ball, and a far smaller one to its right, which is a segment of its own.
    balls = [rng.normal(size=(900, 3)), 0.01 * rng.normal(size=(60, 3)) + [40, 0, 0]]
    prepared = own.prepare(own.decode_json(np.concatenate(balls).tolist()))
    occlusion = occlude(own, prepared, 12)
    small = [i for i, place in enumerate(places(occlusion)) if place["points"][-1] >= 900]
    assert len(small) == 1
    whole, masked = prepared.samples[0], occlusion.mask(small[0], 0)
    assert {k: (v.shape, v.dtype) for k, v in masked.items()} == {
        k: (v.shape, v.dtype) for k, v in whole.items()
    }
    # With the small ball in it, the large one fills a fraction of the unit sphere.
    assert np.ptp(whole["centres"][:, 1]) < 0.3
    assert np.ptp(masked["centres"][:, 1]) > 1
    assert np.linalg.norm(masked["centres"], axis=1).max() == pytest.approx(1, abs=1e-5)


def test_of_many_groups_the_neighbours_are_removed_together() -> None:
    own = preprocessor("pointcloud")
    line = np.stack([np.linspace(0, 1, 3000), np.zeros(3000), np.zeros(3000)], axis=1)
    occlusion = occlude(own, own.prepare(own.decode_json(line.tolist())), 64)
    assert len(occlusion.segments) == own.parameters.groups
    middle = [np.mean(place["points"]) for place in places(occlusion)]
    chosen = int(np.argmin(np.abs(np.array(middle) - 1500)))
    left = np.sort(occlusion.mask(chosen, 0)["centres"][:, 0])
    assert np.diff(left).max() > 2.5 * np.median(np.diff(left))


def test_of_a_cloud_in_one_place_nothing_is_left() -> None:
    own = preprocessor("pointcloud")
    occlusion = occlude(own, own.prepare(own.decode_json([[1.0, 2.0, 3.0]] * 40)), 64)
    assert len(occlusion.segments) == 1
    assert not occlusion.mask(0, 0)["centres"].any()


def test_frames_of_a_video_have_seconds_and_those_of_depth_numbers() -> None:
    _, video = segments("video")
    seconds = video.extent["seconds"]
    assert places(video)[-1]["end"] == pytest.approx(seconds, abs=1e-3)
    _, depth = segments("depth")
    assert places(depth)[0]["first_frame"] == 0
    assert places(depth)[-1]["last_frame"] == depth.extent["frames"] - 1


def test_a_single_depth_picture_is_masked_in_all_its_repetitions() -> None:
    own = preprocessor("depth")
    rng = np.random.default_rng(0)
    picture = rng.integers(500, 4000, (1, 48, 64)).astype(np.uint16)
    prepared = own.prepare(picture)
    occlusion = occlude(own, prepared, 4)
    assert places(occlusion)[0]["last_frame"] == 0
    frames = occlusion.mask(0, 0)["depth"]
    assert (frames == frames[0]).all()


def test_only_classes_and_values_are_explained() -> None:
    explained = {head.route for head in tiny_heads() if can_explain(head)}
    assert {"image/classification", "tabular/income", "graph/solubility"} <= explained
    assert not explained & {"image/detection", "text/embedding", "timeseries/forecast"}
    a_map = head_spec("image/heights", TaskFamily.REGRESSION, {"values": (1, 8, 8)})
    assert not can_explain(a_map)
    assert can_explain(classification("hyperspectral/material", "soil", "grass"))
