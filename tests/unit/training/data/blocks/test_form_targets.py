"""Blocks whose targets have a form of their own: maps, identities, anomalies, weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import ArtifactError
from omnivec2.training.data.base import DataDirectories, TargetForm, TaskData
from omnivec2.training.data.blocks.block_loading import load_block
from omnivec2.training.data.blocks.task_block import TaskBlock

SIZE = {"height": 32, "width": 48, "resize": "stretch"}


def load(route: str, root: Path, settings: dict[str, object] | None = None, **data) -> TaskData:
    block = TaskBlock.model_validate({"data": data, **(settings or {})})
    return load_block(route, block, DataDirectories(root, root / "cache"))


def write_depths(folder: Path, count: int = 10) -> None:
    for number in range(count):
        for name in ("images", "depth"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        depth = np.full((64, 96), 1000 + 100 * number, np.uint16)
        depth[:, :48] = 0  # not measured
        Image.fromarray(depth).save(folder / "depth" / f"{number:02}.png")
        grey = np.full((64, 96, 3), 20 * number, np.uint8)
        Image.fromarray(grey).save(folder / "images" / f"{number:02}.png")


def test_maps_of_16_bits_become_real_values_and_unmeasured_pixels_nan(tmp_path):
    write_depths(tmp_path / "rooms")
    target = {"kind": "map", "unit": "m", "scale": 0.001, "loss": "scale-invariant"}
    task = load(
        "image/depth", tmp_path, {"preprocess": SIZE}, kind="maps", path="rooms", target=target
    )
    assert (task.form, task.loss, task.targets[0].unit) == (TargetForm.MAP, "scale-invariant", "m")
    sample, depth = task.splits["train"].samples[0], task.splits["train"].targets[0]
    assert depth.shape == (1, 32, 48)
    assert np.isnan(depth[0, :, :24]).all()
    assert depth[0, 0, 30] == pytest.approx(1 + sample["pixels"][0, 0, 0] / 20 / 10)


def test_a_map_of_other_proportions_than_its_picture_is_named(tmp_path):
    write_depths(tmp_path / "rooms")
    np.save(tmp_path / "rooms" / "depth" / "03.npy", np.ones((96, 64)))
    (tmp_path / "rooms" / "depth" / "03.png").unlink()
    with pytest.raises(ArtifactError, match=r"03\.npy has 64 x 96 pixels, its picture 96 x 64"):
        load("image/depth", tmp_path, {"preprocess": SIZE}, kind="maps", path="rooms")


def test_identities_of_the_test_part_may_be_new(tmp_path):
    rows = [
        f"{part},{part}{i % 4},text number {i}" for part in ("train", "test") for i in range(12)
    ]
    (tmp_path / "pairs.csv").write_text("part,who,text\n" + "\n".join(rows))
    task = load(
        "text/same",
        tmp_path,
        kind="csv",
        path="pairs.csv",
        input="text",
        label="who",
        target={"kind": "identity", "dimensions": 16, "loss": "triplet"},
        split={"by": "given", "column": "part"},
    )
    assert (task.form, task.dimensions, task.loss) == (TargetForm.IDENTITY, 16, "triplet")
    known, new = (set(np.asarray(task.splits[p].targets).tolist()) for p in ("train", "test"))
    assert len(known) == len(new) == 4
    assert not known & new


def test_series_that_are_not_normal_are_marked(tmp_path):
    rows = [f"{'bad' if i % 5 == 0 else 'normal'}," + ",".join("1234" * 5) for i in range(20)]
    header = "state," + ",".join(f"v{i}" for i in range(20))
    (tmp_path / "series.csv").write_text(header + "\n" + "\n".join(rows))
    task = load(
        "timeseries/state", tmp_path, kind="series", path="series.csv", label="state",
        target="anomaly",
    )  # fmt: skip
    assert task.labels == ("anomaly",)
    marks = np.concatenate([np.asarray(split.targets) for split in task.splits.values()])
    assert (marks.shape, int(marks.sum())) == ((20, 1), 4)


@pytest.mark.parametrize(
    ("target", "weights"),
    [({"kind": "class", "weights": "balanced"}, (0.625, 2.5)),
     ({"kind": "class", "weights": {"rare": 3}}, (1.0, 3.0))],
)  # fmt: skip
def test_rare_classes_can_count_more(tmp_path, target, weights):
    rows = [f"{i},{'rare' if i % 5 == 0 else 'common'}" for i in range(100)]
    (tmp_path / "table.csv").write_text("a,label\n" + "\n".join(rows))
    task = load("tabular/rare", tmp_path, kind="csv", path="table.csv", target=target)
    found = dict(zip(task.labels, task.class_weights, strict=True))
    assert (found["common"], found["rare"]) == pytest.approx(weights, rel=0.1)
