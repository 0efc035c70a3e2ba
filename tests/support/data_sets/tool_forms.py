"""Small data in the forms of labelling tools, and what the check of data finds in them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omnivec2.training.data.blocks.checks.check import check_task
from omnivec2.training.data.blocks.checks.task_check import TaskCheck
from omnivec2.training.data.blocks.task_block import TaskBlock

SMALL = {"height": 32, "width": 48}
SIZE = (24, 16)


def check(root: Path, route: str, data: dict[str, Any], **settings: Any) -> TaskCheck:
    block = TaskBlock.model_validate({"data": data, **settings})
    return check_task(route, block, root)


def faults(found: TaskCheck) -> list[str]:
    return [str(problem) for problem in found.problems if not problem.is_warning]


def warnings(found: TaskCheck) -> str:
    return "\n".join(str(problem) for problem in found.problems if problem.is_warning)


def picture(path: Path, shade: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(shade).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((*SIZE[::-1], 3), shade, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def coco(file: Path, names: list[str], **fields: Any) -> None:
    document = {
        "images": [
            {"id": i, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
            for i, name in enumerate(names)
        ],
        "categories": [{"id": 0, "name": "things"}, {"id": 1, "name": "bolt"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [2.5, 2, 10, 8.25], **fields}
            for i in range(len(names))
        ],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))
