"""Blocks of series and arrays: windows that never leak, classes, and scenes divided in squares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from omnivec2.errors import ArtifactError
from omnivec2.spec import TaskFamily
from omnivec2.training.data import TaskData, load_task
from omnivec2.training.data.blocks.task_block import TaskBlock
from tests.support.data_sets import own_data


def load(root: Path, route: str, data: dict[str, Any], **preprocess: Any) -> TaskData:
    block = TaskBlock.model_validate({"data": data, "preprocess": preprocess})
    return load_task(route, root, cache=root / "cache", block=block)


def forecast(root: Path, **fields: Any) -> TaskData:
    block = {"kind": "series", "path": "t.csv", "context": 16, "horizon": 4, **fields}
    return load(root, "timeseries/x", block)


def count_up(root: Path, steps: int = 100, missing: tuple[int, ...] = ()) -> None:
    """The value of every day is its number, in a random order of rows."""
    days = np.datetime64("2024-01-01") + np.arange(steps)
    rows = [f"{day},{'' if n in missing else n}" for n, day in enumerate(days)]
    order = np.random.default_rng(0).permutation(steps)
    (root / "t.csv").write_text("\n".join(["day,value", *(rows[i] for i in order)]))


def test_windows_are_in_order_and_horizons_lie_in_their_part(tmp_path: Path) -> None:
    count_up(tmp_path)
    split = {"by": "date", "column": "day", "val_from": "2024-03-01", "test_from": "2024-03-20"}
    task = forecast(tmp_path, split=split)
    assert task.family is TaskFamily.FORECASTING
    assert task.quantiles == (0.1, 0.5, 0.9)
    for part, (first, last) in {"train": (0, 59), "val": (60, 78), "test": (79, 99)}.items():
        targets = np.stack(list(task.splits[part].targets))
        assert targets.min() >= first
        assert (targets.min() - first, targets.max()) == (16 if part == "train" else 0, last)
        contexts = np.stack([sample["values"] for sample in task.splits[part].samples])
        np.testing.assert_array_equal(targets[:, 0], contexts[:, -1] + 1)


def test_shares_are_taken_in_the_order_of_time(tmp_path: Path) -> None:
    count_up(tmp_path)
    task = forecast(tmp_path)
    last = [np.stack(list(task.splits[part].targets)).max() for part in ("train", "val", "test")]
    assert last == [69, 79, 99]


def test_missing_values_are_filled_and_too_many_leave_windows_out(tmp_path: Path) -> None:
    count_up(tmp_path, missing=(30, 31))
    assert np.stack(list(forecast(tmp_path).splits["train"].targets)).max() == 69
    whole = len(forecast(tmp_path).splits["train"])
    count_up(tmp_path, missing=tuple(range(30, 45)))
    assert len(forecast(tmp_path).splits["train"]) < whole


def test_a_series_far_from_zero_is_learned_in_the_scale_that_is_served(tmp_path: Path) -> None:
    days = np.datetime64("2024-01-01") + np.arange(100)
    values = 1e8 + np.sin(np.arange(100.0))
    rows = [f"{day},{value:.6f}" for day, value in zip(days, values, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["day,value", *rows]))
    split = forecast(tmp_path).splits["train"]
    assert np.abs(np.stack(list(split.targets))).max() < 3
    assert split.scales is not None
    np.testing.assert_allclose(split.scales, 1, atol=0.2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"context": 90}, "the part train has no window.*context of 90"),
        ({"values": ["vale"]}, "'value' meant"),
        ({"split": {"by": "fold", "fold": 1}}, "cannot divide series"),
        ({"path": "u.csv"}, r"u\.csv is not there"),
    ],
)
def test_what_cannot_be_forecast_is_refused(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    count_up(tmp_path)
    with pytest.raises(ArtifactError, match=message):
        forecast(tmp_path, **fields)


@pytest.mark.parametrize(("kind", "route"), [("series", "timeseries/x"), ("csv", "tabular/x")])
def test_a_folder_in_the_place_of_a_table_is_refused(tmp_path: Path, kind: str, route: str) -> None:
    (tmp_path / "tables").mkdir()
    with pytest.raises(ArtifactError, match="tables: expected a table, got a folder; name the"):
        load(tmp_path, route, {"kind": kind, "path": "tables"})


def test_a_bad_cell_is_named_with_file_and_row(tmp_path: Path) -> None:
    count_up(tmp_path)
    lines = (tmp_path / "t.csv").read_text().splitlines()
    lines[7] = lines[7].split(",")[0] + ",broken"
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(ArtifactError, match=r"t\.csv.*row 7.*broken"):
        forecast(tmp_path, values=["value"])


def test_rows_and_ids_are_series_to_classify(tmp_path: Path) -> None:
    own_data.gestures(tmp_path / "g", 20)
    task = load(
        tmp_path, "timeseries/x", {"kind": "series", "path": "g/gestures.csv", "label": "kind"}
    )
    assert task.labels == ("fast", "slow")
    assert task.preprocess.parameters["context_length"] == 64
    rows = [f"{s},{d},{s * d},{'up' if s > 9 else 'down'}" for s in range(20) for d in range(20)]
    (tmp_path / "long.csv").write_text("\n".join(["id,step,value,kind", *rows]))
    block = {"kind": "series", "path": "long.csv", "id": "id", "values": "value", "label": "kind"}
    assert len(load(tmp_path, "timeseries/x", block).splits["train"]) == 16


def test_a_series_with_two_labels_is_refused(tmp_path: Path) -> None:
    rows = [f"{s},{d},{'a' if d < 3 else 'b'}" for s in range(4) for d in range(20)]
    (tmp_path / "long.csv").write_text("\n".join(["id,value,kind", *rows]))
    block = {"kind": "series", "path": "long.csv", "id": "id", "values": "value", "label": "kind"}
    with pytest.raises(ArtifactError, match=r"long\.csv, row 4: series '0' has several labels"):
        load(tmp_path, "timeseries/x", block)


def test_rows_of_arrays_are_inputs_with_the_parts_of_their_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures, labels = rng.integers(0, 255, (30, 28, 28), dtype=np.uint8), np.arange(30) % 3
    np.savez(
        tmp_path / "a.npz", x_train=pictures, y_train=labels, x_test=pictures[:6], y_test=labels[:6]
    )
    task = load(tmp_path, "image/x", {"kind": "arrays", "path": "a.npz"}, height=32, width=32)
    assert task.labels == ("0", "1", "2")
    assert len(task.splits["test"]) == 6
    savemat(tmp_path / "a.mat", {"X": rng.normal(size=(30, 4)), "y": labels})
    table = load(tmp_path, "tabular/x", {"kind": "arrays", "path": "a.mat"})
    assert len(table.splits["train"]) + len(table.splits["val"]) + len(table.splits["test"]) == 30
    series = {"x": rng.normal(size=(30, 40)), "y": labels}
    np.savez(tmp_path / "s.npz", **series)
    waves = load(tmp_path, "timeseries/x", {"kind": "arrays", "path": "s.npz"})
    assert waves.splits["train"].samples[0]["values"].shape == (40,)


@pytest.mark.parametrize(
    ("arrays", "fields", "message"),
    [
        ({"x": np.zeros((4, 3)), "y": np.zeros(5)}, {}, "4 inputs .* 5 labels"),
        ({"a": np.zeros((4, 3)), "b": np.zeros(5)}, {}, "give input, one of the arrays a, b"),
        ({"x": np.zeros((4, 3)), "y": np.zeros(4)}, {"label": "z"}, "no array 'z'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, arrays: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ArtifactError, match=rf"a\.npz: {message}"):
        load(tmp_path, "tabular/x", {"kind": "arrays", "path": "a.npz", **fields})


def test_windows_of_a_scene_never_overlap_those_of_another_part(tmp_path: Path) -> None:
    side, bands = 48, 12
    labels = np.zeros((side, side), np.uint8)
    labels[:, :24], labels[:, 24:] = 1, 2
    labels[:3] = 0
    cube = np.arange(side * side).reshape(side, side, 1) + np.zeros(bands)
    savemat(tmp_path / "cube.mat", {"scene": cube.astype(np.float32)})
    savemat(tmp_path / "cube_gt.mat", {"cube_gt": labels})
    block = {
        "kind": "arrays", "path": "cube.mat", "input": "scene", "label": "cube_gt.mat",
        "target": {"kind": "class", "names": {1: "corn", 2: "woods"}},
    }  # fmt: skip
    task = load(tmp_path, "hyperspectral/x", block, window=5)
    assert task.labels == ("corn", "woods")
    assert task.family is TaskFamily.SEGMENTATION
    seen = {
        part: {int(v) for s in split.samples for v in s["window"][..., 0].ravel()}
        for part, split in task.splits.items()
    }
    assert min(len(split) for split in task.splits.values()) > 100
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["val"]
    for split in task.splits.values():
        assert set(np.asarray(split.targets).tolist()) == {0, 1}
