from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import ArtifactError
from omnivec2.training.data.annotations.yolo import read_yolo_folder, read_yolo_picture

LABELS = ("cat", "dog")


def picture(root: Path, name: str, rows: str | None = None) -> Path:
    place = root / "images" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(place, format="PNG")
    if rows is not None:
        label = (root / "labels" / name).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(rows)
    return place


@pytest.mark.parametrize("names", ["[cat, dog]", "{0: cat, 1: dog}", "{'1': dog, '0': cat}"])
def test_names_are_a_list_or_numbered(tmp_path: Path, names: str) -> None:
    picture(tmp_path, "train/A.PNG")
    picture(tmp_path, "val/deep/b.png")
    (tmp_path / "data.yaml").write_text(
        f"path: ../gone\ntrain: images/train\nval: images/val\nnames: {names}\n"
    )
    for place in (tmp_path, tmp_path / "data.yaml"):
        read = read_yolo_folder(place)
        assert read.labels == LABELS
        assert {part: len(found) for part, found in read.pictures.items()} == {"train": 1, "val": 1}


def test_roboflows_paths_and_lists_of_pictures_are_found(tmp_path: Path) -> None:
    one = picture(tmp_path / "train", "a.png")
    two = picture(tmp_path / "valid", "b.png")
    (tmp_path / "val.txt").write_text("./valid/images/b.png\n")
    (tmp_path / "data.yaml").write_text(
        "train: ../train/images\nval: val.txt\nnc: 2\nnames: ['cat', 'dog']\n"
    )
    assert read_yolo_folder(tmp_path).pictures == {"train": (one,), "val": (two,)}


def test_without_data_yaml_folders_give_the_parts_and_classes_txt_the_names(tmp_path: Path) -> None:
    picture(tmp_path, "train/a.png")
    picture(tmp_path, "val/b.png")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    read = read_yolo_folder(tmp_path)
    assert read.labels == LABELS
    assert set(read.pictures) == {"train", "val"}
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(ArtifactError, match="the names of the classes are missing"):
        read_yolo_folder(tmp_path)
    assert read_yolo_folder(tmp_path, ["x"]).labels == ("x",)


def test_a_folder_without_parts_is_one(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    assert set(read_yolo_folder(tmp_path, LABELS).pictures) == {"all"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a, b]\nnc: 3", "nc is 3, but there are 2 names"),
        ("names: {0: a, 2: b}", "every number from 0 to 1"),
        ("names: [a, b]\ntrain: nowhere", "train: 'nowhere' is not there; looked in"),
        ("names: 3\ntrain: images", "expected the classes"),
    ],
)
def test_a_wrong_data_yaml_is_named(tmp_path: Path, text: str, message: str) -> None:
    picture(tmp_path, "a.png")
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(ArtifactError, match=message):
        read_yolo_folder(tmp_path)


def test_rows_become_boxes_and_pictures_without_rows_show_nothing(tmp_path: Path) -> None:
    file = picture(tmp_path, "train/A.PNG", "0 0.5 0.5 0.2 0.4\n\n1.0 0.95 0.5 0.2 0.2\n")
    read = read_yolo_picture(file, LABELS)
    np.testing.assert_allclose(read.boxes, [[0.5, 0.5, 0.2, 0.4], [0.925, 0.5, 0.15, 0.2]])
    assert read.labels.tolist() == [0, 1]
    for rows in ("", None):
        assert read_yolo_picture(picture(tmp_path, f"{rows}.png", rows), LABELS).boxes.shape == (
            0,
            4,
        )


def test_polygons_and_keypoints_become_boxes(tmp_path: Path) -> None:
    file = picture(tmp_path, "a.png", "1 0.1 0.1 0.5 0.1 0.5 0.3\n")
    read = read_yolo_picture(file, LABELS)
    np.testing.assert_allclose(read.boxes, [[0.3, 0.2, 0.4, 0.2]], atol=1e-6)
    assert len(read.outlines) == 1
    posed = picture(tmp_path, "b.png", "1 0.5 0.5 0.2 0.2 0.1 0.1 2 0.2 0.2 1\n")
    found = read_yolo_picture(posed, LABELS, keypoints=(2, 3))
    np.testing.assert_allclose(found.boxes, [[0.5, 0.5, 0.2, 0.2]])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "class 2: expected a number from 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5"),
        ("0 0.5 0.5 0.1", "4 numbers: expected a class and"),
        ("0 0.5 0.5 0.1 0.1 0.9", "6 numbers"),
        ("0 120 80 40 40", "pixels must be divided"),
        ("0 0.5 0.5 0 0.1", "the box has no area"),
        ("0 0.5 nan 0.1 0.1", "finite numbers"),
        ("cat 0.5 0.5 0.1 0.1", "finite numbers"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    file = picture(tmp_path, "a.png", f"0 0.5 0.5 0.1 0.1\n{row}\n")
    with pytest.raises(ArtifactError, match=rf"labels/a\.txt:2: .*{message}"):
        read_yolo_picture(file, LABELS)
