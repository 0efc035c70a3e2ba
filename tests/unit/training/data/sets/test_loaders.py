from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import ArtifactError, UnknownModelError
from omnivec2.preprocess import collate, preprocessor_for
from omnivec2.spec import Modality, TaskFamily
from omnivec2.training.data import TaskData, load_task, routes
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.evaluation.rouge import split_words
from omnivec2.wordpiece import END_ID, text_of
from tests.support.data_sets.tiny_data import TINY

SUMMARIZATION = TaskFamily.SUMMARIZATION

ROUTES = sorted(TINY)
AS_THEY_ARE = [r for r in ROUTES if r.startswith(("text/", "timeseries/", "tabular/", "graph/"))]
AUGMENTED = [r for r in ROUTES if r not in AS_THEY_ARE]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    """Loads tiny data of a route once for all tests of this file."""
    loaded: dict[str, TaskData] = {}

    def load(route: str) -> TaskData:
        if route not in loaded:
            place = tmp_path_factory.mktemp(route.replace("/", "_"))
            root = place / "data"
            root.mkdir()
            TINY[route](root)
            loaded[route] = load_task(route, root, cache=place / "cache")
        return loaded[route]

    return load


def test_every_route_has_a_tiny_data_set_here():
    assert sorted(routes()) == ROUTES


def test_every_modality_has_data():
    assert {route.partition("/")[0] for route in routes()} == {m.value for m in Modality}


@pytest.mark.parametrize("route", ROUTES)
def test_a_task_has_three_parts_and_says_what_it_is(tiny, route):
    task = tiny(route)
    assert task.route == route
    assert list(task.splits) == ["train", "val", "test"]
    assert all(len(task.splits[part]) > 0 for part in ("train", "test"))
    assert task.metric in METRICS
    assert task.sources
    assert task.description.endswith(".")
    assert task.labels or task.targets or task.horizon or task.family is SUMMARIZATION


@pytest.mark.parametrize("route", ROUTES)
def test_samples_are_the_tensors_that_the_preprocessor_declares(tiny, route):
    task = tiny(route)
    declared = {t.name: t for t in preprocessor_for(task.preprocess).inputs}
    for split in task.splits.values():
        sample = split.samples[0]
        # Beside them, the words that a text shall be answered with.
        assert set(sample) - {"target_ids"} == set(declared)
        for name, tensor in declared.items():
            array = sample[name]
            assert array.dtype == tensor.dtype, name
            for size, wanted in zip(array.shape, tensor.shape, strict=True):
                assert wanted in (-1, size), name


@pytest.mark.parametrize("route", ROUTES)
def test_targets_have_the_form_of_their_family(tiny, route):
    task = tiny(route)
    target = task.splits["train"].targets[0]
    if task.family is TaskFamily.DETECTION:
        assert target["boxes"].dtype == np.float32
        assert target["boxes"].shape == (len(target["labels"]), 4)
        assert target["labels"].dtype == np.int64
    elif task.family is TaskFamily.REGRESSION:
        assert target.dtype == np.float32
        assert target.shape == (len(task.targets),)
    elif task.family is TaskFamily.FORECASTING:
        assert target.dtype == np.float32
        assert target.shape == (task.horizon,)
        assert task.splits["train"].scales is not None
    elif route == "image/segmentation":
        assert target.dtype == np.uint8
        assert target.shape == task.splits["train"].samples[0]["pixels"].shape[:2]
    elif task.family is SUMMARIZATION:
        ids = task.splits["train"].samples[0]["target_ids"]
        assert ids.dtype == np.int32
        assert ids[-1] == END_ID
        assert (ids > END_ID).sum() == len(ids) - 1
        assert split_words(text_of(ids)) == split_words(target.references[0])
    else:
        assert 0 <= int(target) < len(task.labels)


@pytest.mark.parametrize("route", AS_THEY_ARE)
def test_words_rows_series_and_molecules_are_trained_on_as_they_are(tiny, route):
    assert tiny(route).augment is None


@pytest.mark.parametrize("route", AUGMENTED)
def test_augmentation_keeps_shapes_and_types_and_leaves_its_input_alone(tiny, route):
    task = tiny(route)
    split = task.splits["train"]
    before = {name: array.copy() for name, array in split.samples[0].items()}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sample, target = task.augment(split.samples[0], split.targets[0], rng)
        assert {n: (a.shape, a.dtype) for n, a in sample.items()} == {
            n: (a.shape, a.dtype) for n, a in before.items()
        }
        assert all(np.isfinite(array).all() for array in sample.values())
        collate([sample, split.samples[0]])
        if task.family is TaskFamily.DETECTION:
            low = target["boxes"][:, :2] - target["boxes"][:, 2:] / 2
            high = target["boxes"][:, :2] + target["boxes"][:, 2:] / 2
            assert len(target["boxes"]) == len(target["labels"])
            assert (low > -1e-5).all()
            assert (high < 1 + 1e-5).all()
    after = split.samples[0]
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("route", AUGMENTED)
def test_augmentation_is_decided_by_its_generator(tiny, route):
    task = tiny(route)
    split = task.splits["train"]
    first, again = (
        task.augment(split.samples[0], split.targets[0], np.random.default_rng(3))[0]
        for _ in range(2)
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_an_unknown_route_is_refused_with_those_that_exist(tmp_path):
    with pytest.raises(UnknownModelError, match="image/classification"):
        load_task("image/captions", tmp_path)
    with pytest.raises(UnknownModelError, match="no data for 'smell/roses'"):
        load_task("smell/roses", tmp_path)


def test_missing_data_is_reported_with_the_place_that_lacks_it(tmp_path):
    with pytest.raises(ArtifactError, match="audio_esc10"):
        load_task("audio/events", tmp_path, cache=tmp_path)


def test_prepared_samples_are_read_from_the_cache_the_second_time(tmp_path, monkeypatch):
    TINY["infrared/objects"](tmp_path)
    cache = tmp_path / "cache"
    first = load_task("infrared/objects", tmp_path, cache=cache).splits["train"].samples[1]
    kind = type(preprocessor_for(load_task("infrared/objects", tmp_path, cache=cache).preprocess))
    monkeypatch.setattr(kind, "prepare", lambda *_: pytest.fail("prepared again"))
    again = load_task("infrared/objects", tmp_path, cache=cache).splits["train"].samples[1]
    assert np.array_equal(first["pixels"], again["pixels"])


def test_recordings_of_one_sound_are_never_in_two_parts(tiny):
    task = tiny("audio/events")
    # Per class: folds 1 and 3 hold 6 clips; at least 3 of fold 3, whole recordings, are val.
    assert [len(task.splits[p]) for p in ("train", "val", "test")] == [30, 30, 10]


def test_neighbouring_clips_of_a_video_are_in_one_part(tiny):
    task = tiny("video/action")
    assert [len(task.splits[p]) for p in ("train", "val", "test")] == [4, 2, 2]


def test_people_of_the_depth_test_are_never_trained_on(tiny):
    task = tiny("depth/action")
    assert [len(task.splits[p]) for p in ("train", "val", "test")] == [6, 2, 4]


def test_empty_voxel_grids_are_left_out(tiny):
    task = tiny("pointcloud/classification")
    assert len(task.splits["test"]) == 2


def test_a_molecule_under_two_names_is_in_one_part_only(tiny):
    task = tiny("graph/solubility")
    ethanol = [
        part
        for part, split in task.splits.items()
        for sample, target in zip(split.samples, split.targets, strict=True)
        if len(sample["nodes"]) == 3 and 8 - 1 in sample["nodes"][:, 0]
    ]
    assert len(ethanol) == 2
    assert len(set(ethanol)) == 1


def test_forecast_windows_follow_one_another_and_end_with_their_part(tiny):
    task = tiny("timeseries/forecast")
    train, val, test = (task.splits[part] for part in ("train", "val", "test"))
    # Two series; the first counts hours, so values say where they are.
    assert len(train) == 2 * (8640 - 336 - 96 + 1)
    assert len(val) == len(test) == 2 * (2880 - 96 + 1)
    first = len(test) // 2
    assert test.samples[0]["values"][0] == 11520 - 336
    assert test.targets[0][0] == 11520
    assert test.targets[first - 1][-1] == 14400 - 1
    assert test.samples[first]["values"].max() <= 1046
    assert train.targets[len(train) // 2 - 1][-1] == 8640 - 1
    assert test.scales[0] == pytest.approx(np.std(np.arange(8640)), rel=1e-4)


def test_missing_cells_stay_missing(tiny):
    task = tiny("tabular/income")
    columns = [c for c in task.preprocess.parameters["columns"] if c["kind"] == "category"]
    native_country = [c["name"] for c in columns].index("native-country")
    assert task.splits["test"].samples[0]["categories"][native_country] == 0
    assert task.splits["test"].samples[1]["categories"][native_country] == 2


def test_a_column_without_any_known_value_is_left_out_of_the_schema():
    from omnivec2.training.data.blocks.statistics import column_schema

    rows = [{"a": 1.0, "b": None}, {"a": 3.0, "b": None}]
    assert [c["name"] for c in column_schema(rows, ["a"])] == ["a"]


def test_salinas_windows_hold_the_pixel_of_their_label_in_the_middle(tiny, tmp_path):
    task = tiny("hyperspectral/landcover")
    assert [len(task.splits[p]) for p in ("train", "val", "test")] == [400, 160, 40]
    assert all(sample["window"][3, 3].any() for sample in task.splits["train"].samples[:20])


def test_speakers_of_everyday_dialogues_lose_their_signs(tiny):
    task = tiny("text/summarization")
    (everyday,) = task.further_tests.values()
    assert "Person1: Any allergies?" in everyday.targets[0].source
    assert everyday.targets[0].references[0].startswith("Person1 is allergic")
    ids = everyday.samples[0]["target_ids"]
    assert text_of(ids).startswith("Person1 is allergic")
