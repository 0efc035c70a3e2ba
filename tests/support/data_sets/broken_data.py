"""Data with one fault each, as people have it; every maker returns where the fault is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Fault:
    """What a check must say.

    Attributes:
        route: The task.
        data: The block.
        place: The file and row that are named.
        reason: Words of the reason.
        kind: The kind of the problem.
        is_warning: Whether training goes on.
    """

    route: str
    data: dict[str, Any]
    place: str
    reason: str
    kind: str
    is_warning: bool = False


def pictures(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 8) -> None:
    """Write different pictures into a folder per class."""
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")


def table(path: Path, changes: dict[int, str] | None = None, header: str = "size,label,when,part"):
    """Write 40 good rows; ``changes`` are other lines by the number of their row, from 1."""
    rows = [
        f"{number / 10},{('low', 'high')[number % 2]},2024-01-{1 + number % 28:02},"
        f"{('train', 'val', 'test')[number % 3 if number < 12 else 0]}"
        for number in range(40)
    ]
    for row, line in (changes or {}).items():
        rows[row - 1] = line
    path.write_text("\n".join([header, *rows]) + "\n")


CSV = {"kind": "csv", "path": "rows.csv", "label": "label", "leave_out": ["when", "part"]}
FOLDER = {"kind": "imagefolder", "path": "pets"}
_GIVEN = {"by": "given", "column": "part"}


def missing_file(root: Path) -> Fault:
    """A table of pictures names one that is not there."""
    pictures(root / "pets")
    names = [f"{kind}/{number:02}.png" for kind in ("cat", "dog") for number in range(8)]
    names[9] = "dog/01.jpg"
    lines = [f"{name},{name[:3]}" for name in names]
    (root / "pets" / "list.csv").write_text("\n".join(["path,label", *lines]))
    data = {"kind": "csv", "path": "pets/list.csv", "label": "label"}
    return Fault(
        "image/pets", data, "pets/list.csv, row 10", "did you mean 01.png?", "missing file"
    )


def missing_metadata_file(root: Path) -> Fault:
    """``metadata.jsonl`` names a picture that is not there."""
    pictures(root / "pets")
    rows = [{"file_name": f"cat/{n:02}.png", "animal": ("a", "b")[n % 2]} for n in range(8)]
    rows.append({"file_name": "cat/99.png", "animal": "a"})
    (root / "pets" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return Fault("image/pets", FOLDER, "pets/metadata.jsonl, line 9", "99.png", "missing file")


def undecodable_picture(root: Path) -> Fault:
    """A picture whose end is missing."""
    pictures(root / "pets")
    path = root / "pets" / "dog" / "03.png"
    path.write_bytes(path.read_bytes()[:60])
    return Fault("image/pets", FOLDER, "pets/dog/03.png", "PNG", "undecodable input")


def text_as_picture(root: Path) -> Fault:
    """A page of HTML with the name of a picture, as failed downloads leave it."""
    pictures(root / "pets")
    (root / "pets" / "dog" / "03.png").write_text("<html>404 Not Found</html>")
    return Fault("image/pets", FOLDER, "pets/dog/03.png", "expected", "undecodable input")


def empty_file(root: Path) -> Fault:
    """A picture of no bytes."""
    pictures(root / "pets")
    (root / "pets" / "cat" / "05.png").write_bytes(b"")
    return Fault("image/pets", FOLDER, "pets/cat/05.png", "the file is empty", "undecodable input")


def empty_table(root: Path) -> Fault:
    """A CSV file of no bytes."""
    (root / "rows.csv").write_bytes(b"")
    return Fault("tabular/rows", CSV, "rows.csv", "the file is empty", "empty")


def picture_outside_of_classes(root: Path) -> Fault:
    """A picture beside the folders of classes."""
    pictures(root / "pets")
    (root / "pets" / "stray.png").write_bytes((root / "pets/cat/00.png").read_bytes())
    return Fault("image/pets", FOLDER, "pets/stray.png", "lies in no folder", "bad target")


def empty_label(root: Path) -> Fault:
    """A row without a label."""
    table(root / "rows.csv", {5: "1.5,,2024-01-01,train"})
    return Fault("tabular/rows", CSV, "rows.csv, row 5", "label is empty", "bad target")


def unknown_part(root: Path) -> Fault:
    """A spelling of a part that means nothing."""
    table(root / "rows.csv", {7: "1.5,low,2024-01-01,tset"})
    data = {**CSV, "split": _GIVEN}
    return Fault("tabular/rows", data, "rows.csv, row 7", "did you mean test?", "unknown part")


def ragged_row(root: Path) -> Fault:
    """A row with a field too many."""
    table(root / "rows.csv", {8: "1.5,low,2024-01-01,train,x"})
    return Fault("tabular/rows", CSV, "rows.csv", "line 9", "unreadable file")


def cell_without_a_number(root: Path) -> Fault:
    """A word in a column of numbers."""
    table(root / "rows.csv", {11: "about 3,low,2024-01-01,train"})
    return Fault("tabular/rows", CSV, "rows.csv, row 11", "'about 3' is no number", "bad cell")


def target_without_a_number(root: Path) -> Fault:
    """NaN as the target of a regression."""
    table(root / "rows.csv", {13: "nan,low,2024-01-01,train"})
    data = {**CSV, "label": "size", "target": "numbers"}
    return Fault("tabular/rows", data, "rows.csv, row 13", "expected a finite", "bad target")


def infinite_target(root: Path) -> Fault:
    """An overflow of another program as the target of a regression."""
    rows = [{"text": f"text {n}", "score": n * 0.5} for n in range(30)]
    lines = [json.dumps(row) for row in rows]
    lines[20] = '{"text": "text 20", "score": 1e999}'
    (root / "texts.jsonl").write_text("\n".join(lines))
    data = {"kind": "jsonl", "path": "texts.jsonl", "label": "score", "target": "numbers"}
    return Fault("text/score", data, "texts.jsonl, line 21", "inf", "bad target")


def leak(root: Path) -> Fault:
    """A picture of the training part that is in the test part, too."""
    for part in ("train", "val", "test"):
        pictures(root / "pets" / part)
        for path in (root / "pets" / part).rglob("*.png"):
            with Image.open(path) as picture:
                pixels = np.asarray(picture) + len(part)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    copied = (root / "pets/train/cat/02.png").read_bytes()
    (root / "pets/test/cat/06.png").write_bytes(copied)
    reason = "the same input as pets/train/cat/02.png"
    return Fault(
        "image/pets", FOLDER, "pets/test/cat/06.png", reason, "duplicate across parts", True
    )


def class_of_the_test_part_only(root: Path) -> Fault:
    """A class that nothing is trained on."""
    pictures(root / "pets" / "train")
    pictures(root / "pets" / "test", ("cat", "dog", "dgo"), 3)
    reason = "class 'dgo' is not in the training part"
    return Fault("image/pets", FOLDER, "pets/test/dgo/00.png", reason, "class not trained")


def small_class(root: Path) -> Fault:
    """A class of one picture."""
    pictures(root / "pets")
    pictures(root / "pets", ("emu",), 1)
    reason = "class 'emu' has 1 training samples"
    return Fault("image/pets", FOLDER, "pets/emu/00.png", reason, "too few samples", True)


def wrong_encoding(root: Path) -> Fault:
    """Latin-1 where UTF-8 is expected."""
    lines = ['{"text": "fine", "label": "a"}'] * 3 + ['{"text": "caf\xe9", "label": "b"}']
    (root / "texts.jsonl").write_bytes("\n".join(lines).encode("latin-1"))
    data = {"kind": "jsonl", "path": "texts.jsonl"}
    return Fault("text/kind", data, "texts.jsonl", "line 4: not UTF-8", "unreadable file")


def broken_json(root: Path) -> Fault:
    """A line that ends too early."""
    lines = ['{"text": "fine", "label": "a"}'] * 3 + ['{"text": "bad", "label": ']
    (root / "texts.jsonl").write_text("\n".join(lines))
    data = {"kind": "jsonl", "path": "texts.jsonl"}
    return Fault("text/kind", data, "texts.jsonl", "line 4: not valid JSON", "unreadable file")


def wrong_type(root: Path) -> Fault:
    """A file of another form with the ending of Parquet."""
    (root / "rows.parquet").write_text("size,label\n1,low\n")
    data = {"kind": "parquet", "path": "rows.parquet", "label": "label"}
    return Fault("tabular/rows", data, "rows.parquet", "not a readable Parquet", "unreadable file")


def bad_date(root: Path) -> Fault:
    """A day that no month has."""
    table(root / "rows.csv", {4: "1.5,low,2024-02-31,train"})
    data = {**CSV, "split": {"by": "date", "column": "when"}}
    return Fault("tabular/rows", data, "rows.csv, row 4", "2024-02-31", "unreadable date")


def empty_input(root: Path) -> Fault:
    """A row without a text."""
    lines = [f"text {number},{'ab'[number % 2]}" for number in range(30)]
    lines[16] = ",a"
    (root / "texts.csv").write_text("\n".join(["text,label", *lines]))
    data = {"kind": "csv", "path": "texts.csv"}
    return Fault("text/kind", data, "texts.csv, row 17", "the input", "empty")


def missing_column(root: Path) -> Fault:
    """A column that is spelled otherwise."""
    table(root / "rows.csv")
    data = {**CSV, "label": "lable"}
    return Fault("tabular/rows", data, "rows.csv", "did you mean label?", "unreadable file")


def bad_molecule(root: Path) -> Fault:
    """A SMILES whose ring is never closed."""
    lines = [f"{'C' * (1 + n)}O,{n / 7}" for n in range(30)]
    lines[12] = "C1CCO,0.5"
    (root / "molecules.csv").write_text("\n".join(["smiles,value", *lines]))
    data = {"kind": "csv", "path": "molecules.csv", "label": "value", "target": "numbers"}
    return Fault("graph/value", data, "molecules.csv, row 13", "", "undecodable input")


def box_outside(root: Path) -> Fault:
    """A box that begins behind the right border of its picture."""
    pictures(root / "images", ("all",), 12)
    images, annotations = [], []
    for number in range(12):
        name = f"all/{number:02}.png"
        images.append({"id": number, "file_name": name, "width": 16, "height": 12})
        box = [2, 2, 6, 6] if number != 7 else [40, 2, 6, 6]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box})
    document = {
        "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "x"}],
    }  # fmt: skip
    (root / "boxes.json").write_text(json.dumps(document))
    data = {"kind": "coco", "path": "boxes.json", "images": "images"}
    return Fault("image/boxes", data, "boxes.json: annotations[7]", "outside", "bad target")


FAULTS: tuple[Callable[[Path], Fault], ...] = (
    missing_file,
    missing_metadata_file,
    undecodable_picture,
    text_as_picture,
    empty_file,
    empty_table,
    picture_outside_of_classes,
    empty_label,
    unknown_part,
    ragged_row,
    cell_without_a_number,
    target_without_a_number,
    infinite_target,
    leak,
    class_of_the_test_part_only,
    small_class,
    wrong_encoding,
    broken_json,
    wrong_type,
    bad_date,
    empty_input,
    missing_column,
    bad_molecule,
    box_outside,
)
