"""Pictures with boxes and masks in the forms that labelling tools write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from omnivec2.training.data.annotations.class_colours import read_classes
from tests.support.data_sets.tool_forms import SIZE, SMALL, check, coco, faults, picture, warnings


def test_a_folder_of_roboflow_has_a_coco_file_in_every_part(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "valid", "test")):
        picture(tmp_path / "set" / part / "a.png", number)
        coco(tmp_path / "set" / part / "_annotations.coco.json", ["a.png"])
    found = check(tmp_path, "image/bolts", {"kind": "coco", "path": "set"}, preprocess=SMALL)
    assert faults(found) == []
    assert found.counts == {"train": 1, "val": 1, "test": 1}


def test_parts_of_coco_may_have_pictures_of_the_same_names(tmp_path: Path) -> None:
    for number, part in enumerate(("train2017", "val2017")):
        for name in range(12):
            picture(tmp_path / "set" / part / f"{name}.png", 20 * number + name)
        file = tmp_path / "set" / "annotations" / f"instances_{part}.json"
        coco(file, [f"{name}.png" for name in range(12)])
    (tmp_path / "set/annotations/captions_train2017.json").write_text("{}")
    found = check(tmp_path, "image/bolts", {"kind": "coco", "path": "set"}, preprocess=SMALL)
    assert faults(found) == []
    assert found.counts["val"] == 12
    assert "the same input" not in warnings(found)


def test_a_folder_of_coco_files_of_no_known_part_asks_for_them(tmp_path: Path) -> None:
    for name in ("first", "second"):
        coco(tmp_path / "set" / f"{name}.json", [])
    found = check(tmp_path, "image/bolts", {"kind": "coco", "path": "set"}, preprocess=SMALL)
    assert "first.json, second.json; give them as path: {train: …" in faults(found)[0]


def test_masks_that_cvat_marks_as_crowds_are_left_out_aloud_or_counted(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(12)]
    for number, name in enumerate(names):
        picture(tmp_path / "images" / name, number)
    coco(tmp_path / "instances_default.json", names, iscrowd=1)
    block = {"kind": "coco", "path": "instances_default.json"}
    found = check(tmp_path, "image/bolts", block, preprocess=SMALL)
    assert found.classes == {}
    assert "12 annotations are marked as crowds (iscrowd): none is to be found" in warnings(found)
    counted = check(tmp_path, "image/bolts", {**block, "crowds": True}, preprocess=SMALL)
    assert sum(counted.classes["bolt"].values()) == 12
    assert "crowds" not in warnings(counted)


def test_voc_in_a_folder_per_part(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "valid", "test")):
        picture(tmp_path / "set" / part / "a.png", number)
        box = "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
        thing = f"<object><name>bolt</name><bndbox>{box}</bndbox></object>"
        hard = thing.replace("<bndbox>", "<difficult>1</difficult><bndbox>")
        (tmp_path / "set" / part / "a.xml").write_text(
            f"<annotation><filename>a.png</filename>{thing}{hard}</annotation>"
        )
    found = check(tmp_path, "image/bolts", {"kind": "voc", "path": "set"}, preprocess=SMALL)
    assert faults(found) == []
    assert found.counts == {"train": 1, "val": 1, "test": 1}
    assert "3 objects are marked as difficult and are left out" in warnings(found)


def test_yolo_pictures_without_any_file_of_labels_are_refused(tmp_path: Path) -> None:
    for number in range(10):
        picture(tmp_path / "set" / "images" / f"{number}.png", number)
    (tmp_path / "set" / "classes.txt").write_text("bolt\nnut")
    block = {"kind": "yolo", "path": "set"}
    found = check(tmp_path, "image/bolts", block, preprocess=SMALL)
    assert faults(found) == [
        "set: none of 10 pictures has a file of labels; expected, for example, "
        "set/labels/0.txt for set/images/0.png"
    ]
    (tmp_path / "set" / "labels").mkdir()
    for number in range(9):
        (tmp_path / "set" / "labels" / f"{number}.txt").write_text("1 0.5 0.5 0.2 0.2")
    found = check(tmp_path, "image/bolts", block, preprocess=SMALL)
    assert faults(found) == []
    assert "1 of 10 pictures have no file of labels" in warnings(found)


def mask(path: Path, values: tuple[int, int] = (0, 1)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(SIZE[::-1], values[0], np.uint8)
    pixels[:, 7:] = values[1]
    pixels[0] = 255
    Image.fromarray(pixels).save(path)


def test_masks_in_folders_named_after_their_pictures(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        for number in range(3):
            picture(tmp_path / "set" / part / f"{part}{number}.png", number)
            mask(tmp_path / "set" / f"{part}_labels" / f"{part}{number}_L.png")
    block = {"kind": "masks", "path": "set", "classes": ["road", "sky"], "ignore": [255]}
    found = check(tmp_path, "image/street", block, preprocess=SMALL)
    assert faults(found) == []
    assert found.counts == {"train": 3, "val": 3, "test": 3}
    assert found.classes["sky"] == {"train": 3, "val": 3, "test": 3}


def test_masks_of_voc_are_divided_by_its_lists(tmp_path: Path) -> None:
    for number in range(10):
        picture(tmp_path / "JPEGImages" / f"{number}.png", number)
        mask(tmp_path / "SegmentationClass" / f"{number}.png", (0, 15))
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n1\n2\n3\n4\n5\n")
    (lists / "val.txt").write_text("6\n7\n8\n")
    found = check(tmp_path, "image/voc", {"kind": "masks", "path": "."}, preprocess=SMALL)
    assert faults(found) == []
    assert found.counts["val"] == 3
    assert "1 pictures are in none of the lists in ImageSets" in warnings(found)
    assert "the value 255 of the masks is taken for a class" in warnings(found)


def test_masks_as_jpeg_are_refused_because_their_values_are_mixed(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / "images" / f"{number}.png", number)
        mask(tmp_path / "masks" / f"{number}.jpg", (0, 200))
    found = check(tmp_path, "image/x", {"kind": "masks", "path": "."}, preprocess=SMALL)
    assert "the mask is a JPEG picture" in faults(found)[0]


def test_the_class_table_of_ade20k_names_classes_by_their_index(tmp_path: Path) -> None:
    file = tmp_path / "objectInfo150.txt"
    file.write_text(
        "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t11\t2\t1\twall\n"
        "2\t0.1\t60\t61\t1\tbuilding, edifice\n"
    )
    assert read_classes(file) == {1: "wall", 2: "building, edifice"}
