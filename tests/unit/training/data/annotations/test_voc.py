from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import ArtifactError
from omnivec2.training.data.annotations.voc import (
    read_voc_folder,
    read_voc_picture,
    voc_names,
)

SIZE = "<size><width>40</width><height>20</height><depth>3</depth></size>"
OBJECT = (
    "<object><name>cat</name><difficult>{difficult}</difficult><bndbox><xmin>{x0}</xmin>"
    "<ymin>5</ymin><xmax>{x1}</xmax><ymax>15</ymax></bndbox></object>"
)


def thing(x0: object = 10, x1: object = 30, difficult: int = 0) -> str:
    return OBJECT.format(x0=x0, x1=x1, difficult=difficult)


def annotation(root: Path, stem: str, *objects: str, size: str = SIZE) -> Path:
    (root / "JPEGImages").mkdir(exist_ok=True)
    (root / "Annotations").mkdir(exist_ok=True)
    Image.new("L", (40, 20)).save(root / "JPEGImages" / f"{stem}.PNG", format="PNG")
    file = root / "Annotations" / f"{stem}.xml"
    file.write_text(
        f"<annotation><filename>C:\\x\\{stem}.jpg</filename>{size}{''.join(objects)}</annotation>"
    )
    return file


def test_annotations_pictures_and_listed_parts_are_found(tmp_path: Path) -> None:
    one = annotation(tmp_path, "one", thing())
    two = annotation(tmp_path, "two")
    assert read_voc_folder(tmp_path).annotations == {"all": (one, two)}
    listing = tmp_path / "ImageSets" / "Main"
    listing.mkdir(parents=True)
    (listing / "train.txt").write_text("one\n")
    (listing / "val.txt").write_text("two 1\n")
    assert read_voc_folder(tmp_path).annotations == {"train": (one,), "val": (two,)}
    (listing / "val.txt").write_text("two\nthree\n")
    with pytest.raises(ArtifactError, match=r"val\.txt:2: no annotation three\.xml"):
        read_voc_folder(tmp_path)


@pytest.mark.parametrize("size", [SIZE, "", "<size><width>0</width><height>0</height></size>"])
def test_corners_become_boxes_even_where_no_size_is_declared(tmp_path: Path, size: str) -> None:
    file = annotation(tmp_path, "one", thing(), thing(30.0, 10), size=size)
    folder = read_voc_folder(tmp_path)
    assert voc_names([file]) == ("cat",)
    read = read_voc_picture(file, ("cat",), folder.pictures)
    assert read is not None
    np.testing.assert_allclose(read.boxes, [[0.5, 0.5, 0.5, 0.5]])  # the same box twice


def test_difficult_objects_count_only_if_wanted(tmp_path: Path) -> None:
    file = annotation(tmp_path, "one", thing(difficult=1))
    pictures = read_voc_folder(tmp_path).pictures
    for wanted in (False, True):
        read = read_voc_picture(file, ("cat",), pictures, difficult=wanted)
        assert read is not None
        assert len(read.labels) == int(wanted)


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([thing(), thing("x")], "object 2: bndbox: expected the numbers"),
        ([thing(50, 60)], "object 1: the box has no area"),
        ([thing().replace("cat", "cow")], "object 1: class 'cow' is none of cat"),
    ],
)
def test_a_bad_object_is_named(tmp_path: Path, objects: list[str], message: str) -> None:
    file = annotation(tmp_path, "one", *objects)
    with pytest.raises(ArtifactError, match=rf"one\.xml: {message}"):
        read_voc_picture(file, ("cat",), read_voc_folder(tmp_path).pictures)


def test_a_damaged_file_and_a_missing_picture_are_named(tmp_path: Path) -> None:
    file = annotation(tmp_path, "one")
    folder = read_voc_folder(tmp_path)
    file.write_text("<annotation><object>")
    with pytest.raises(ArtifactError, match=r"one\.xml: not readable XML"):
        read_voc_picture(file, ("cat",), folder.pictures)
    lost = annotation(tmp_path, "lost")
    (tmp_path / "JPEGImages" / "lost.PNG").unlink()
    with pytest.raises(ArtifactError, match="no such picture, or several"):
        read_voc_picture(lost, ("cat",), read_voc_folder(tmp_path).pictures)
