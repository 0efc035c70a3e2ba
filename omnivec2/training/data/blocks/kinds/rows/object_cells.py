"""Cells of objects, as Hugging Face has them: the boxes and classes of one picture.

::

    {"bbox": [[302.0, 109.0, 73.0, 52.0]], "category": [0]}     a struct of lists
    [{"bbox": [302.0, 109.0, 73.0, 52.0], "category": "car"}]   a list of structs
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.spec import Modality
from omnivec2.training.data.annotations.annotated_boxes import (
    AnnotatedPicture,
    Box,
    clip_corners,
    stack_boxes,
)
from omnivec2.training.data.blocks.examples import Example, Problem, ProblemKind
from omnivec2.training.data.blocks.files import listed
from omnivec2.training.data.blocks.kinds.base import Block
from omnivec2.training.data.blocks.targets.box_targets import BoxesTarget
from omnivec2.training.data.blocks.targets.picture_sizes import SCENE_PARAMETERS

COLUMN = "objects"
"""The column of objects where a block names none."""

BoxForm = Literal["xywh", "xyxy"]

_BOXES = ("bbox", "bboxes", "boxes", "box")
_CATEGORIES = ("category", "categories", "label", "labels", "category_id", "class")
_OUTSIDE = 0.05
"""The share of a picture by which boxes may reach beyond it, and are clipped."""


class BlockOfObjects(Block):
    """What the kinds share whose rows may hold the objects of a picture."""

    box_form: BoxForm = Field(
        default="xywh",
        description="target boxes: the numbers of a box in pixels: a corner and the size, or xyxy, "
        "two corners",
    )

    @property
    def has_boxes(self) -> bool:
        """Whether boxes are learned."""
        return isinstance(self.target, BoxesTarget)

    def parameters(self, modality: Modality) -> Mapping[str, JsonValue]:
        """Return the size of scenes where boxes are learned: nothing of them is cut off."""
        return SCENE_PARAMETERS if self.has_boxes and modality is Modality.IMAGE else {}

    def annotated(
        self,
        examples: Iterable[Example | Problem],
        column: str,
        classes: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> Iterator[Example | Problem]:
        """Yield examples whose targets are their annotated pictures, and problems as they are.

        Args:
            examples: The examples, whose targets have the cells of objects.
            column: The column of objects.
            classes: The names of classes by column; those of ``objects`` are at
                ``objects.category``.
        """
        for one in examples:
            if isinstance(one, Example):
                yield _annotated_example(one, column, self.box_form, classes)
            else:
                yield one


def _annotated_example(
    example: Example, column: str, form: BoxForm, classes: Mapping[str, Sequence[str]]
) -> Example | Problem:
    """Return an example whose target is its annotated picture, or what is wrong with it."""
    try:
        size = _picture_size(example.value)
    except (OSError, ValueError, SyntaxError, TypeError) as error:
        reason = f"not a readable picture: {error}"
        return Problem(ProblemKind.UNDECODABLE, example.origin, reason)
    try:
        boxes, categories = _lists(example.target[column])
        names = next((classes[k] for c in _CATEGORIES if (k := f"{column}.{c}") in classes), ())
        labels = [_name(category, names) for category in categories]
        known = tuple(names) or tuple(dict.fromkeys(labels))
        found = [
            (known.index(label), box)
            for numbers, label in zip(boxes, labels, strict=True)
            if (box := _box(numbers, form, size)) is not None
        ]
    except InvalidInputError as error:
        return Problem(ProblemKind.BAD_TARGET, example.origin, f"column {column!r}: {error}")
    stacked, numbers = stack_boxes(found)
    place = str(example.origin)
    picture = example.value if isinstance(example.value, Path) else Path(place)
    target = AnnotatedPicture(picture, place, stacked, numbers, known, size=size)
    return Example(example.value, target, example.origin, example.part, example.columns)


def _picture_size(value: Any) -> tuple[int, int]:
    """Return the (width, height) of a picture as it is stored: boxes are in those pixels."""
    from PIL import Image

    with Image.open(value if isinstance(value, Path) else io.BytesIO(value.read())) as image:
        return image.size


def _lists(cell: Any) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return the boxes and the categories of a cell."""
    if cell is None or cell == []:
        return [], []
    if isinstance(cell, list) and all(isinstance(one, dict) for one in cell):
        cell = {name: [one.get(name) for one in cell] for name in cell[0]}
    if not isinstance(cell, dict):
        raise InvalidInputError(f"expected objects with a bbox and a category each, got {cell!r}")
    boxes, categories = (
        next((cell[name] for name in names if isinstance(cell.get(name), list)), None)
        for names in (_BOXES, _CATEGORIES)
    )
    if boxes is None or categories is None:
        raise InvalidInputError(
            f"expected lists bbox and category of objects; there are {listed(list(cell))}"
        )
    if len(boxes) != len(categories):
        raise InvalidInputError(f"{len(boxes)} boxes have {len(categories)} categories")
    return boxes, categories


def _name(category: Any, names: Sequence[str]) -> str:
    if isinstance(category, int) and names:
        if not 0 <= category < len(names):
            raise InvalidInputError(f"category {category} is none of {len(names)} classes")
        return names[category]
    text = "" if category is None else str(category).strip()
    if not text or (names and text not in names):
        raise InvalidInputError(f"{category!r} is no class; there are {listed(list(names))}")
    return text


def _box(numbers: Any, form: BoxForm, size: tuple[int, int]) -> Box | None:
    """Return a box as shares of the picture; None for one without an area."""
    values = numbers if isinstance(numbers, list) else []
    if len(values) != 4 or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise InvalidInputError(f"bbox: expected four finite numbers, got {numbers!r}")
    x, y, right, bottom = map(float, values)
    if form == "xywh":
        if right < 0 or bottom < 0:
            raise InvalidInputError(
                f"bbox {numbers}: a size below 0; expected x, y, width and height"
            )
        if right == 0 or bottom == 0:
            return None
        right, bottom = x + right, y + bottom
    elif right <= x or bottom <= y:
        raise InvalidInputError(f"bbox {numbers}: expected two corners: x0, y0, x1, y1")
    corners = (x / size[0], y / size[1], right / size[0], bottom / size[1])
    box = clip_corners(corners)
    if box is None or min(corners) < -_OUTSIDE or max(corners) > 1 + _OUTSIDE:
        hint = "; if its numbers are two corners, give box_form: xyxy" if form == "xywh" else ""
        raise InvalidInputError(
            f"bbox {numbers} reaches out of the picture of {size[0]} x {size[1]}{hint}"
        )
    return box
