"""Data that can be trained on, and of which a check says why its figures would mislead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omnivec2.training.data.blocks.checks.check import check_task
from omnivec2.training.data.blocks.checks.task_check import TaskCheck
from omnivec2.training.data.blocks.task_block import TaskBlock


def check(root: Path, route: str, **data: Any) -> TaskCheck:
    return check_task(route, TaskBlock.model_validate({"data": data}), root)


def said(found: TaskCheck, kind: str) -> list[str]:
    return [str(problem) for problem in found.problems if problem.kind.value == kind]


def table(root: Path, *columns: list[Any], header: str, mark: str = ",") -> None:
    rows = [mark.join(map(str, row)) for row in zip(*columns, strict=True)]
    (root / "t.csv").write_text("\n".join([header, *rows]) + "\n")


YES_NO = ["no"] * 20 + ["yes"] * 20
MIXED = [f"{(7 * n) % 41}" for n in range(40)]


def test_one_odd_cell_among_decimal_commas_is_named_alone(tmp_path: Path) -> None:
    prices = [f"{n},5" for n in range(39)] + ["cheap"]
    table(tmp_path, MIXED, prices, header="a;price", mark=";")
    target = check(tmp_path, "tabular/x", kind="csv", path="t.csv", label="price", target="numbers")
    assert said(target, "bad target") == ["t.csv, row 40: the target 'price' is no number: 'cheap'"]
    table(tmp_path, prices, YES_NO, header="price;label", mark=";")
    column = check(tmp_path, "tabular/x", kind="csv", path="t.csv", label="label")
    assert "t.csv, row 40: column 'price': 'cheap' is no number" in said(column, "bad cell")[0]
    assert column.inputs == ("price (number)",)


def test_a_text_among_the_numbers_of_json_lines_is_named(tmp_path: Path) -> None:
    rows = [{"a": int(a), "label": label} for a, label in zip(MIXED, YES_NO, strict=True)]
    rows[30]["a"] = "many"
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = check(tmp_path, "tabular/x", kind="jsonl", path="t.jsonl", label="label")
    assert "t.jsonl, line 31: column 'a': 'many' is no number" in said(found, "bad cell")[0]


def test_a_column_that_mixes_decimal_marks_is_no_column_of_categories(tmp_path: Path) -> None:
    table(tmp_path, [f"{n}{',.'[n % 2]}5" for n in range(40)], YES_NO, header="a;label", mark=";")
    found = check(tmp_path, "tabular/x", kind="csv", path="t.csv", label="label")
    assert "mixes decimal points and decimal commas" in str(found.problems[0])


def test_columns_that_name_or_number_the_rows_are_pointed_out(tmp_path: Path) -> None:
    names = [f"C{n:04}" for n in range(40)]
    table(tmp_path, names, range(500, 540), MIXED, YES_NO, header="id,number,age,label")
    found = check(tmp_path, "tabular/x", kind="csv", path="t.csv", label="label")
    name, number = said(found, "column that names rows")
    assert "column 'id' has another text in nearly every row" in name
    assert "column 'number' numbers the rows" in number
    assert "leave_out: [number]" in number
    assert not found.is_broken


def test_one_input_with_two_classes_is_pointed_out(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(39)] + ["text 3"]
    table(tmp_path, texts, YES_NO, header="text,label")
    found = check(tmp_path, "text/x", kind="csv", path="t.csv", split={"by": "input"})
    assert said(found, "one input, two classes") == [
        "t.csv, row 40: the same input as t.csv, row 4, which is of class 'no'; "
        "this is of class 'yes'"
    ]


def test_classes_that_differ_in_case_alone_are_pointed_out(tmp_path: Path) -> None:
    table(tmp_path, MIXED, [["Yes", "yes", "no"][n % 3] for n in range(40)], header="a,label")
    found = check(tmp_path, "tabular/x", kind="csv", path="t.csv", label="label")
    (warning,) = said(found, "classes of nearly the same name")
    assert "classes 'Yes' and 'yes' are learned as two" in warning
    names = {"Yes": "yes", "yes": "yes", "no": "no"}
    joined = check(
        tmp_path,
        "tabular/x",
        kind="csv",
        path="t.csv",
        label="label",
        target={"kind": "class", "names": names},
    )
    assert set(joined.classes) == {"yes", "no"}
    assert said(joined, "classes of nearly the same name") == []


def test_few_quantities_as_classes_are_refused_before_anything_else(tmp_path: Path) -> None:
    table(tmp_path, MIXED, [f"{n / 7:.3f}" for n in range(40)], header="a,label")
    found = check(tmp_path, "tabular/x", kind="csv", path="t.csv", label="label")
    assert "did you mean target: numbers" in str(found.problems[0])


def test_a_declared_class_that_nothing_shows_is_counted_as_none(tmp_path: Path) -> None:
    masks(tmp_path)
    found = check(tmp_path, "image/x", kind="masks", path="m", classes=["a", "b", "c"])
    assert found.classes["c"] == {"train": 0, "val": 0, "test": 0}
    assert any(
        "class 'c' has 0 training samples" in text for text in said(found, "too few samples")
    )


def masks(root: Path, values: int = 2, suffix: str = "png") -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / "m" / folder).mkdir(parents=True)
    for number in range(10):
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"m/images/{number}.png")
        mask = rng.integers(0, values, (32, 32), dtype=np.uint8)
        Image.fromarray(mask).save(root / f"m/masks/{number}.{suffix}")


def test_masks_as_jpeg_are_refused_where_classes_are_named_too(tmp_path: Path) -> None:
    masks(tmp_path, values=6, suffix="jpg")
    found = check(tmp_path, "image/x", kind="masks", path="m", classes=list("abcdef"))
    assert "the mask is a JPEG picture" in str(found.problems[0])


def test_masks_without_a_picture_are_told(tmp_path: Path) -> None:
    masks(tmp_path)
    assert not said(check(tmp_path, "image/x", kind="masks", path="m"), "left out")
    (tmp_path / "m/images/3.png").unlink()
    (tmp_path / "m/images/7.png").unlink()
    assert said(check(tmp_path, "image/x", kind="masks", path="m"), "left out") == [
        "m: 2 masks have no picture of their name and are left out, such as m/masks/3.png"
    ]


def test_files_of_labels_without_a_picture_are_told(tmp_path: Path) -> None:
    for folder in ("images/train", "labels/train"):
        (tmp_path / "y" / folder).mkdir(parents=True)
    for number in range(10):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / f"y/images/train/{number}.png")
        (tmp_path / f"y/labels/train/{number}.txt").write_text("0 .5 .5 .2 .2\n")
    (tmp_path / "y/labels/train/lost.txt").write_text("0 .5 .5 .2 .2\n")
    (tmp_path / "y/labels/train/notes.txt").write_text("drawn by hand\n")
    (tmp_path / "y/data.yaml").write_text("names: [dot]\ntrain: images/train\n")
    found = check(tmp_path, "image/x", kind="yolo", path="y")
    assert [text for text in said(found, "left out") if "labels have no picture" in text] == [
        "y: 1 files of labels have no picture that is read and are left out, such as "
        "y/labels/train/lost.txt"
    ]


def coco(root: Path, **changes: Any) -> None:
    (root / "c").mkdir()
    for number in range(10):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(root / f"c/{number}.png")
    document = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "width": 32, "height": 32} for n in range(10)
        ],
        "annotations": [{"image_id": n, "category_id": 1, "bbox": [1, 1, 9, 9]} for n in range(10)],
        "categories": [{"id": 1, "name": "dot"}],
        **changes,
    }
    (root / "c/a.json").write_text(json.dumps(document))


def test_two_pictures_with_one_id_are_named(tmp_path: Path) -> None:
    pictures = [
        {"id": n % 9, "file_name": f"{n}.png", "width": 32, "height": 32} for n in range(10)
    ]
    coco(tmp_path, images=pictures)
    found = check(tmp_path, "image/x", kind="coco", path="c/a.json", images="c")
    (problem,) = [text for text in said(found, "bad target") if "images[" in text]
    assert problem.startswith("c/a.json: images[9] (9.png): the id 0 is that of images[0], too")


def test_categories_of_one_name_are_told(tmp_path: Path) -> None:
    coco(tmp_path, categories=[{"id": 1, "name": "dot"}, {"id": 2, "name": "dot"}])
    found = check(tmp_path, "image/x", kind="coco", path="c/a.json", images="c")
    assert any("several categories are named 'dot'" in text for text in said(found, "left out"))


def test_a_column_that_counts_the_steps_of_each_series_is_their_time(tmp_path: Path) -> None:
    lines = ["machine,step,vibration,state"]
    for machine in range(30):
        values = np.random.default_rng(machine).normal(size=20)
        lines += [f"{machine},{n},{v:.3f},{'ab'[machine % 2]}" for n, v in enumerate(values)]
    (tmp_path / "s.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    found = check(
        tmp_path, "timeseries/x", kind="series", path="s.csv", id="machine", label="state"
    )
    assert sum(found.counts.values()) == 30
    assert any("column 'step' is taken for the time" in text for text in found.notes)


def test_a_damaged_archive_of_arrays_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"nothing")
    found = check(tmp_path, "image/x", kind="arrays", path="a.npz", input="x", label="y")
    assert "the file is damaged, or holds Python objects" in str(found.problems[0])
