from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import ArtifactError
from omnivec2.training.data.annotations.coco import CocoFile, read_coco
from omnivec2.training.data.annotations.outlines import paint_outlines

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 2, "name": "cat"}]


def picture(folder: Path, name: str, size: tuple[int, int] = (40, 20)) -> None:
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(place, format="PNG")


def coco(folder: Path, annotations: list[dict[str, Any]], **changes: Any) -> Path:
    names = changes.pop("names", ["a.png", "b.png"])
    document = {
        "images": [
            {"id": 10 + i, "file_name": name, "width": 40, "height": 20}
            for i, name in enumerate(names)
        ],
        "categories": CATEGORIES,
        "annotations": annotations,
    }
    file = folder / "instances.json"
    file.write_text(json.dumps(document | changes))
    return file


def box(image: Any = 10, category: Any = 7, **fields: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": [10, 5, 20, 10], **fields}


def test_category_ids_with_gaps_become_classes_in_their_order(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    picture(tmp_path, "b.png")
    read = read_coco(coco(tmp_path, [box(), box(category=2, bbox=[0, 0, 40, 20])]))
    assert read.labels == ("cat", "dog")
    first, second = read.pictures
    np.testing.assert_allclose(first.boxes, [[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    assert first.labels.tolist() == [1, 0]
    assert second.boxes.shape == (0, 4)


def test_crowds_are_no_objects_and_boxes_without_area_are_left_out(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    picture(tmp_path, "b.png")
    found = [box(), box(iscrowd=1), box(bbox=[3, 3, 0, 4])]
    read = read_coco(coco(tmp_path, found))
    assert len(read.pictures[0].labels) == 1
    assert (read.crowds, read.empty_boxes) == (1, 1)
    np.testing.assert_allclose(read.pictures[0].crowds, [[0.5, 0.5, 0.5, 0.5]])
    assert read.pictures[0].crowd_labels.tolist() == [1]
    assert read.pictures[0].only(["dog"]).crowd_labels.tolist() == [0]
    assert len(read.pictures[0].only(["cat"]).crowds) == 0


def test_a_box_outside_of_its_picture_is_named(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    picture(tmp_path, "b.png")
    found: list[tuple[str, str]] = []
    file = coco(tmp_path, [box(), box(bbox=[60, 3, 5, 4])])
    read = read_coco(file, report=lambda place, message: found.append((place, message)))
    assert len(read.pictures[0].labels) == 1
    ((place, message),) = found
    assert place == f"{file}: annotations[1]"
    assert "x 60, y 3, width 5, height 4 lies outside of the picture of 40 x 20" in message


@pytest.mark.parametrize("name", ["deep/er/A.PNG", "/elsewhere/deep/er/A.PNG", "C:\\data\\A.png"])
def test_pictures_are_found_by_the_end_of_their_path(tmp_path: Path, name: str) -> None:
    picture(tmp_path, "images/deep/er/A.PNG")
    read = read_coco(coco(tmp_path, [box()], names=[name]))
    assert read.pictures[0].picture == tmp_path / "images/deep/er/A.PNG"


def test_ids_may_be_texts_on_one_side(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    picture(tmp_path, "b.png")
    assert len(read_coco(coco(tmp_path, [box("10", "7")])).pictures[0].labels) == 1


def test_chosen_classes_have_the_order_of_the_head_and_others_are_left_out(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    picture(tmp_path, "b.png")
    first = read_coco(coco(tmp_path, [box(), box(category=2)])).pictures[0]
    chosen = first.only(["dog"])
    assert chosen.classes == ("dog",)
    assert chosen.labels.tolist() == [0]
    assert first.only(["dog", "cat"]).names == first.names


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (box(image=99), "annotations\\[0\\]: no picture has the id 99"),
        (box(category=3), "annotations\\[0\\]: no category has the id 3"),
        (box(bbox=[1, 2, 3]), "annotations\\[0\\]: bbox: expected four finite numbers"),
        (box(bbox=[1, 2, -3, 4]), "a width of -3"),
        (box(bbox=[60, 3, 5, 4]), "lies outside of the picture"),
        (box(bbox=[1, 2, float("nan"), 4]), "bbox: expected four finite numbers"),
        (box(segmentation=[[1, 2, 3, 4]]), "segmentation: expected lists of six or more"),
        (box(segmentation={"size": [5, 5], "counts": "x"}), "the size of the picture"),
    ],
)
def test_a_bad_annotation_is_named(
    tmp_path: Path, annotation: dict[str, Any], message: str
) -> None:
    picture(tmp_path, "a.png")
    picture(tmp_path, "b.png")
    with pytest.raises(ArtifactError, match=message):
        read_coco(coco(tmp_path, [annotation]))


def test_all_bad_entries_can_be_collected(tmp_path: Path) -> None:
    picture(tmp_path, "a.png")
    found: list[str] = []
    file = coco(tmp_path, [box(), box(image=99), box(bbox=None)])
    read = read_coco(file, report=lambda place, message: found.append(f"{place}: {message}"))
    assert len(read.pictures) == 1
    assert [text.removeprefix(f"{file}: ").split(":")[0] for text in found] == [
        "annotations[1]",
        "annotations[2]",
        "images[1] (b.png)",
    ]


@pytest.mark.parametrize("content", ["[]", "{", '{"images": 3}', '{"images": []}'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"x\.json"):
        read_coco(tmp_path / "x.json")


def outlined(folder: Path, *shapes: Any) -> CocoFile:
    picture(folder, "a.png")
    picture(folder, "b.png")
    categories = [7, 2]
    found = [
        box(category=categories[i % 2], segmentation=shape, iscrowd=int(isinstance(shape, dict)))
        for i, shape in enumerate(shapes)
    ]
    return read_coco(coco(folder, found))


def test_polygons_are_painted_with_smaller_objects_on_top(tmp_path: Path) -> None:
    small, large = [[10, 5, 20, 5, 20, 10, 10, 10]], [[0, 0, 40, 0, 40, 20, 0, 20]]
    read = outlined(tmp_path, small, large)
    mask = paint_outlines(read.pictures[0].outlines, (40, 20), 0, shift=1)
    assert mask.shape == (20, 40)
    assert mask[7, 15] == 2
    assert mask[15, 30] == 1
    doubled = paint_outlines(read.pictures[0].outlines, (80, 40), 0, shift=1)
    assert doubled[14, 30] == 2


@pytest.mark.parametrize("compressed", [False, True])
def test_run_lengths_are_painted(tmp_path: Path, compressed: bool) -> None:
    # Columns come first: five rows of zeros, then ten of ones, in the first column.
    shape: dict[str, Any] = {"size": [20, 40], "counts": [5, 10, 785]}
    if compressed:
        from pycocotools import mask as masks

        code = masks.frPyObjects(shape, 20, 40)
        shape = {"size": [20, 40], "counts": code["counts"].decode()}
    read = outlined(tmp_path, shape)
    mask = paint_outlines(read.pictures[0].outlines, (40, 20), 255)
    assert (mask == 1).sum() == 10
    assert (mask[5:15, 0] == 1).all()
    assert (mask == 255).sum() == 790
