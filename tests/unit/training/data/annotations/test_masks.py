from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import ArtifactError
from omnivec2.training.data.annotations.class_colours import class_map, read_classes, read_key
from omnivec2.training.data.annotations.mask_files import match_masks, read_mask, values_of_masks

INDICES = np.array([[0, 1], [2, 255]], dtype=np.uint8)


def save(place: Path, array: Any, mode: str | None = None) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(array))
    if mode == "P":
        picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200] + [0] * 756 + [255, 255, 255])
    picture.save(place)
    return place


@pytest.mark.parametrize("value", ["#ff8000", "ff8000", "255, 128, 0", "255 128 0", [255, 128, 0]])
def test_colours_are_read_in_every_spelling(value: Any) -> None:
    assert read_key(value) == (255, 128, 0)
    with pytest.raises(ArtifactError, match="expected an index such as 3"):
        read_key("255, 300, 0")


@pytest.mark.parametrize("form", ["grey", "palette", "rgb", "16 bits"])
def test_indices_are_read_from_every_kind_of_grey(tmp_path: Path, form: str) -> None:
    arrays = {"rgb": np.stack([INDICES] * 3, axis=2), "16 bits": INDICES.astype(np.uint16)}
    file = save(tmp_path / "m.png", arrays.get(form, INDICES), "P" if form == "palette" else None)
    classes = class_map(["sky", "road", "tree"], [255])
    assert read_mask(file, classes).tolist() == INDICES.tolist()
    assert values_of_masks([file]) == [0, 1, 2, 255]


@pytest.mark.parametrize(
    "classes",
    [
        {"#c80000": "sky", "#00c800": "road", "#0000c8": "tree"},
        {"sky": "200 0 0", "road": [0, 200, 0], "tree": [0, 0, 200]},
    ],
)
def test_colours_are_read_from_palettes_and_from_pixels(tmp_path: Path, classes: Any) -> None:
    found = class_map(classes, ["#ffffff"])
    palette = save(tmp_path / "m.png", INDICES, "P")
    with Image.open(palette) as picture:
        picture.convert("RGB").save(tmp_path / "rgb.png")
    for file in (palette, tmp_path / "rgb.png"):
        assert read_mask(file, found).tolist() == INDICES.tolist()


def test_several_keys_may_be_one_class_and_others_may_be_ignored(tmp_path: Path) -> None:
    file = save(tmp_path / "m.png", INDICES)
    found = class_map({"ground": [0, 2], "road": 1})
    assert found.labels == ("ground", "road")
    with pytest.raises(ArtifactError, match=r"m\.png: pixel \(1, 1\) has value 255.*1 such"):
        read_mask(file, found)
    assert read_mask(file, found, others_ignored=True).tolist() == [[0, 1], [0, 255]]


def test_colours_where_indices_are_expected_are_refused(tmp_path: Path) -> None:
    file = save(tmp_path / "m.png", np.full((2, 2, 3), (1, 2, 3), dtype=np.uint8))
    with pytest.raises(ArtifactError, match="the mask has colours"):
        read_mask(file, class_map(["a", "b"]))
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=r"x\.png: not a readable picture"):
        read_mask(tmp_path / "x.png", class_map(["a", "b"]))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("c.txt", "sky\nroad works\n", ["sky", "road works"]),
        ("c.csv", "name,r,g,b\nsky,200,0,0\nroad,0,200,0\n",
         {"sky": [[200, 0, 0]], "road": [[0, 200, 0]]}),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nsky:200,0,0::\nroad:0,200,0::\n",
         {"sky": [[200, 0, 0]], "road": [[0, 200, 0]]}),
        ("c.txt", "0 sky\n1 road works\n", {"sky": [0], "road works": [1]}),
        ("c.json", '{"sky": 0, "road": 1}', {"sky": 0, "road": 1}),
        ("c.yaml", "names: {0: sky, 1: road}", {0: "sky", 1: "road"}),
    ],
)  # fmt: skip
def test_files_of_classes_are_read(tmp_path: Path, name: str, text: str, expected: Any) -> None:
    (tmp_path / name).write_text(text)
    found = read_classes(tmp_path / name)
    assert found == expected
    assert len(class_map(found).labels) == 2


@pytest.mark.parametrize(
    ("classes", "ignore", "message"),
    [
        (["a"], [], "two classes or more"),
        ({0: "a", "#ff0000": "b"}, [], "as indices, or as colours"),
        ({"a": 0, "b": 0}, [], "stands for a and for b"),
        ({"a": "x", "b": "y"}, [], "expected an index or a colour, and a name"),
        ([str(i) for i in range(256)], [], "255 at most"),
    ],
)
def test_wrong_classes_are_refused(classes: Any, ignore: list[Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        class_map(classes, ignore)


def test_masks_are_matched_by_path_and_by_the_words_of_tools(tmp_path: Path) -> None:
    for name in ("city/a.JPG", "city/b.jpg", "c_leftImg8bit.png"):
        save(tmp_path / "images" / name.replace("JPG", "jpeg"), INDICES)
    for name in ("city/a.png", "city/b_mask.png", "c_labelIds.png"):
        save(tmp_path / "masks" / name, INDICES)
    save(tmp_path / "images" / "alone.png", INDICES)
    pairs, without = match_masks(tmp_path / "images", tmp_path / "masks")
    assert [mask.name for _, mask in pairs] == ["c_labelIds.png", "a.png", "b_mask.png"]
    assert [path.name for path in without] == ["alone.png"]
    with pytest.raises(ArtifactError, match="no picture of"):
        match_masks(tmp_path / "masks", tmp_path / "nowhere")


def test_one_folder_may_hold_both(tmp_path: Path) -> None:
    save(tmp_path / "a.png", INDICES)
    save(tmp_path / "a_mask.png", INDICES)
    pairs, without = match_masks(tmp_path, tmp_path)
    assert pairs == [(tmp_path / "a.png", tmp_path / "a_mask.png")]
    assert not without
