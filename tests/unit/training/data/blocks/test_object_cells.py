"""Boxes in the column ``objects``, as Hugging Face's data sets and folders have it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from omnivec2.training.data import TaskData, load_task
from omnivec2.training.data.blocks.task_block import TaskBlock
from tests.support.data_sets.tool_forms import check, faults

SIZE = (48, 32)
SMALL = {"height": 32, "width": 48}
NAMES = ["car", "dog"]
OBJECTS = {"bbox": [[12.0, 8.0, 24.0, 16.0], [0.0, 0.0, 12.0, 8.0]], "category": [1, 0]}
BLOCK = {"kind": "datasets", "path": "hub", "target": "boxes", "input": "image"}


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", SIZE, (shade, 0, 0)).save(stream, format="PNG")
    return stream.getvalue()


def write(root: Path, cells: list[Any], names: list[str] | None = NAMES) -> None:
    pictures = [{"bytes": png(number), "path": None} for number in range(len(cells))]
    table = pa.table({"image": pictures, "objects": cells})
    label = {"_type": "ClassLabel", "names": names} if names else {"_type": "Value"}
    fields = {"bbox": {"_type": "Sequence", "feature": {"_type": "Value"}}, "category": label}
    is_list = isinstance(cells[0], list)
    feature = [fields] if is_list else {"_type": "Sequence", "feature": fields}
    metadata = json.dumps({"info": {"features": {"objects": feature}}}).encode()
    (root / "hub" / "data").mkdir(parents=True)
    table = table.replace_schema_metadata({b"huggingface": metadata})
    parquet.write_table(table, root / "hub" / "data" / "train-00000.parquet")


def load(root: Path, **block: Any) -> TaskData:
    data = {key: value for key, value in {**BLOCK, **block}.items() if value}
    found = TaskBlock.model_validate({"data": data, "preprocess": SMALL})
    return load_task("image/street", root, cache=root / "cache", block=found)


def as_list(cell: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [
        {"bbox": box, "category": category}
        for box, category in zip(cell["bbox"], cell["category"], strict=True)
    ]


@pytest.mark.parametrize("form", ["struct of lists", "list of structs"])
def test_objects_become_boxes_of_named_classes(tmp_path: Path, form: str) -> None:
    cells: list[Any] = [OBJECTS] * 19 + [{"bbox": [], "category": []}]
    write(tmp_path, cells if form == "struct of lists" else [as_list(cell) for cell in cells])
    task = load(tmp_path)
    assert task.labels == ("car", "dog")
    assert task.metric == "ap50"
    targets = [target for split in task.splits.values() for target in split.targets]
    assert len(targets) == 20
    assert sum(len(target["labels"]) == 0 for target in targets) == 1
    first = next(target for target in targets if len(target["labels"]))
    assert first["labels"].tolist() == [1, 0]
    np.testing.assert_allclose(
        first["boxes"], [[0.5, 0.5, 0.5, 0.5], [0.125, 0.125, 0.25, 0.25]], atol=1e-6
    )


def test_two_corners_and_classes_by_name_are_read(tmp_path: Path) -> None:
    corners = {"bbox": [[12.0, 8.0, 36.0, 24.0]], "category": ["dog"]}
    write(tmp_path, [corners] * 10, names=None)
    task = load(tmp_path, box_form="xyxy")
    assert task.labels == ("dog",)
    np.testing.assert_allclose(task.splits["train"].targets[0]["boxes"], [[0.5] * 4], atol=1e-6)


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ({"bbox": [[12.0, 8.0, 40.0, 24.0]], "category": [0]}, "give box_form: xyxy"),
        ({"bbox": [[1.0, 2.0, -3.0, 4.0]], "category": [0]}, "a size below 0"),
        ({"bbox": [[1.0, 2.0, 3.0]], "category": [0]}, "expected four finite numbers"),
        ({"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [5]}, "category 5 is none of 2 classes"),
        ({"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [None]}, "None is no class"),
        ({"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [0, 1]}, "1 boxes have 2 categories"),
    ],
)
def test_what_is_no_box_is_reported_with_its_row(
    tmp_path: Path, bad: dict[str, Any], expected: str
) -> None:
    write(tmp_path, [OBJECTS, bad, *[OBJECTS] * 8])
    found = check(tmp_path, "image/street", BLOCK, preprocess=SMALL)
    (fault,) = faults(found)
    assert "train-00000.parquet, row 2: column 'objects'" in fault
    assert expected in fault


def test_cells_that_are_no_objects_are_reported(tmp_path: Path) -> None:
    write(tmp_path, [{"bbox": [[1.0, 2.0, 3.0, 4.0]], "kind": [0]}] * 4)
    found = check(tmp_path, "image/street", BLOCK, preprocess=SMALL)
    assert "expected lists bbox and category of objects; there are bbox, kind" in faults(found)[0]
    parquet.write_table(
        pa.table({"image": [{"bytes": b"no picture", "path": None}, {"bytes": png(1), "path": ""}],
                  "objects": ["a car", "a dog"]}),
        tmp_path / "hub" / "data" / "train-00000.parquet",
    )  # fmt: skip
    told = faults(check(tmp_path, "image/street", BLOCK, preprocess=SMALL))
    assert any("not a readable picture" in fault for fault in told)
    assert any("a category each, got 'a dog'" in fault for fault in told)


def test_metadata_of_an_imagefolder_holds_objects(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    lines = []
    for number in range(10):
        (folder / f"{number}.png").write_bytes(png(number))
        objects = {"bbox": OBJECTS["bbox"][:1], "categories": ["dog"]}
        lines.append(json.dumps({"file_name": f"{number}.png", "objects": objects}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    task = load(tmp_path, kind="imagefolder", path="set", input=())
    assert task.labels == ("dog",)
    np.testing.assert_allclose(task.splits["train"].targets[0]["boxes"], [[0.5] * 4], atol=1e-6)
    lines[2] = json.dumps(
        {"file_name": "2.png", "objects": {"bbox": [[1, 1, 500, 5]], "label": [1]}}
    )
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    block = {"kind": "imagefolder", "path": "set", "target": "boxes"}
    (fault,) = faults(check(tmp_path, "image/street", block, preprocess=SMALL))
    assert "metadata.jsonl, line 3: column 'objects'" in fault
