"""Blocks of annotated pictures, masks and clouds: from files to the targets of losses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import ArtifactError
from omnivec2.training.data import TaskData, load_task
from omnivec2.training.data.base import PointLabels, TargetForm
from omnivec2.training.data.blocks.task_block import TaskBlock
from tests.support.data_sets import own_data

SMALL = {"height": 32, "width": 48}


def load(root: Path, route: str, data: dict[str, Any], **preprocess: Any) -> TaskData:
    small = SMALL if route.startswith("image") else {}
    block = TaskBlock.model_validate({"data": data, "preprocess": {**small, **preprocess}})
    return load_task(route, root, cache=root / "cache", block=block)


def every_target(task: TaskData) -> list[Any]:
    return [target for split in task.splits.values() for target in split.targets]


def test_coco_boxes_become_targets_in_the_order_of_category_ids(tmp_path: Path) -> None:
    own_data.coco(tmp_path / "c", 24)
    task = load(tmp_path, "image/x", {"kind": "coco", "path": "c/annotations/instances.json"})
    assert task.labels == ("apple", "plum")
    assert task.metric == "ap50"
    targets = every_target(task)
    assert len(targets) == 24
    assert sum(len(target["labels"]) == 0 for target in targets) == 2
    boxes = np.concatenate([target["boxes"] for target in targets])
    np.testing.assert_allclose(boxes[:, 2], 26 / own_data.WIDTH, atol=1e-6)
    assert task.splits["train"].samples[0]["pixels"].shape == (32, 48, 3)


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_only_the_named_classes_are_learned_in_their_order(tmp_path: Path, kind: str) -> None:
    {"coco": own_data.coco, "yolo": own_data.yolo}[kind](tmp_path / "d", 24)
    path = "d/annotations/instances.json" if kind == "coco" else "d"
    block = {"kind": kind, "path": path, "labels": ["plum"]}
    task = load(tmp_path, "image/x", block)
    assert task.labels == ("plum",)
    assert 0 < sum(len(target["labels"]) for target in every_target(task)) < 16
    with pytest.raises(ArtifactError, match=r"no class 'plumm'; .* did you mean plum"):
        load(tmp_path, "image/x", {**block, "labels": ["plumm"]})


def test_yolos_parts_are_kept_and_a_missing_one_is_held_out(tmp_path: Path) -> None:
    own_data.yolo(tmp_path / "y", 24)
    task = load(tmp_path, "image/x", {"kind": "yolo", "path": "y"})
    sizes = {part: len(split) for part, split in task.splits.items()}
    assert sizes["val"] == 4
    assert sizes["train"] + sizes["test"] == 20
    assert sizes["test"] == 2


def coco_of_one(root: Path, **changes: Any) -> dict[str, Any]:
    (root / "images").mkdir()
    for number in range(12):
        Image.new("RGB", (60, 40), (number * 9, 40, 90)).save(root / "images" / f"{number}.png")
    polygon = [0, 0, 30, 0, 30, 40, 0, 40]
    document = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "width": 60, "height": 40, **changes}
            for n in range(12)
        ],
        "annotations": [
            {"image_id": n, "category_id": 1, "bbox": [0, 0, 30, 40], "segmentation": [polygon]}
            for n in range(12)
        ],
        "categories": [{"id": 1, "name": "left"}],
    }
    (root / "a.json").write_text(json.dumps(document))
    return {"kind": "coco", "path": "a.json"}


def test_outlines_become_masks_with_a_background(tmp_path: Path) -> None:
    task = load(tmp_path, "image/x", {**coco_of_one(tmp_path), "target": "mask"})
    assert task.labels == ("background", "left")
    split = task.splits["train"]
    assert split.targets[0].shape == (32, 48)
    assert (split.targets[0][:, :24] == 1).all()
    assert (split.targets[0][:, 24:] == 0).all()
    assert split.references is not None
    assert split.references[0].shape == (40, 60)


def test_an_annotation_of_another_size_is_refused(tmp_path: Path) -> None:
    block = coco_of_one(tmp_path, width=40, height=60)
    with pytest.raises(ArtifactError, match=r"a\.json: images\[0\].*EXIF orientation"):
        load(tmp_path, "image/x", block)


@pytest.mark.parametrize(
    ("preprocess", "message"),
    [({"height": 30}, "multiple of 16"), ({"resize": "crop"}, "expected stretch")],
)
def test_sizes_that_move_boxes_are_refused(
    tmp_path: Path, preprocess: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        load(tmp_path, "image/x", coco_of_one(tmp_path), **preprocess)


@pytest.mark.parametrize(
    "classes",
    [
        "m/classes.csv",
        {"night": [10, 20, 30], "day": "#c86400"},
        {"10 20 30": "night", "#c86400": "day"},
    ],
)
def test_coloured_masks_become_targets(tmp_path: Path, classes: Any) -> None:
    own_data.masks(tmp_path / "m", 10)
    block = {"kind": "masks", "path": "m", "classes": classes, "ignore": ["#ffffff"]}
    task = load(tmp_path, "image/x", block)
    assert task.labels == ("night", "day")
    target = task.splits["train"].targets[0]
    assert set(np.unique(target)) == {0, 1, 255}
    assert (target[0] == 255).all()
    again = TaskBlock.model_validate(task.block)
    assert load_task("image/x", tmp_path, cache=tmp_path / "c2", block=again).labels == task.labels


def test_unnamed_masks_have_the_values_that_occur_as_classes(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for number in range(10):
            values = np.repeat(np.array([0, 255], np.uint8), 20)[None].repeat(30, axis=0)
            Image.fromarray(values + (number if name == "images" else 0)).save(
                tmp_path / name / f"{number}.png"
            )
    task = load(tmp_path, "image/x", {"kind": "masks", "path": "."})
    assert task.labels == ("0", "255")


def test_a_mask_value_without_a_class_is_named(tmp_path: Path) -> None:
    own_data.masks(tmp_path / "m", 10)
    with pytest.raises(ArtifactError, match=r"images/0\.png: .*colour #ffffff.*`ignore`"):
        load(tmp_path, "image/x", {"kind": "masks", "path": "m", "classes": "m/classes.csv"})


def test_points_have_labels_and_groups(tmp_path: Path) -> None:
    own_data.points(tmp_path / "p", 10)
    block = {
        "kind": "points",
        "path": "p",
        "target": {"kind": "points", "names": {4: "floor", 11: "pillar"}},
    }
    task = load(tmp_path, "pointcloud/x", block)
    assert task.labels == ("floor", "pillar")
    assert task.form is TargetForm.POINTS
    target = task.splits["train"].targets[0]
    assert isinstance(target, PointLabels)
    assert target.labels.tolist() == [0] * 150 + [1] * 150
    counts = target.counts(64, 2)
    assert counts.sum() == 300
    assert (counts.max(axis=1) >= counts.sum(axis=1) * 0.8).mean() > 0.9


def test_a_label_that_has_no_name_is_refused(tmp_path: Path) -> None:
    own_data.points(tmp_path / "p", 10)
    block = {"kind": "points", "path": "p", "target": {"kind": "points", "names": {4: "floor"}}}
    with pytest.raises(ArtifactError, match=r"p/00\.ply: label '11' is none of 4"):
        load(tmp_path, "pointcloud/x", block)
    ignoring = {
        **block,
        "target": {"kind": "points", "names": {4: "floor", 5: "x"}, "ignore": [11]},
    }
    assert set(
        np.unique(load(tmp_path, "pointcloud/x", ignoring).splits["train"].targets[0].labels)
    ) == {0, 255}
