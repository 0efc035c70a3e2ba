"""Boxes of objects: pixels or shares of a picture -> the targets of detection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from omnivec2.preprocess import Array

Box = tuple[float, float, float, float]
"""Centre and size, cx, cy, w, h, as shares of a picture."""

SMALLEST_SHARE = 1e-6
"""The least width and height of a box after clipping, as a share of the picture."""


def _no_boxes() -> Array:
    return np.zeros((0, 4), dtype=np.float32)


def _no_labels() -> Array:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Outline:
    """The shape of an object in a picture.

    Attributes:
        label: The index of its class.
        polygons: Its polygons, each float64 (points, 2) of x and y as shares of the picture.
        run_lengths: The run-length encoding of COCO, or None; its size is (height, width).
    """

    label: int
    polygons: tuple[Array, ...] = ()
    run_lengths: dict[str, object] | None = None


@dataclass(frozen=True, repr=False)
class AnnotatedPicture:
    """A picture and the objects that are marked in it.

    Attributes:
        picture: The picture's file.
        place: The annotation it comes from, for messages.
        boxes: The boxes, float32 (objects, 4): cx, cy, w, h in 0..1.
        labels: The class of each box, int64 (objects,), an index into ``classes``.
        classes: The names of all classes of the annotations.
        outlines: The shapes, where the annotation has any.
        size: The (width, height) that the annotation declares, or None.
        left_out: The number of its objects that are left out, as difficult ones of VOC are.
        crowds: The boxes of crowds, in the form of ``boxes``: objects that nobody counted, so that
            a box found in one is neither right nor wrong.
        crowd_labels: The class of each crowd, as ``labels``.
    """

    picture: Path
    place: str
    boxes: Array
    labels: Array
    classes: tuple[str, ...]
    outlines: tuple[Outline, ...] = ()
    size: tuple[int, int] | None = None
    left_out: int = 0
    crowds: Array = field(default_factory=_no_boxes)
    crowd_labels: Array = field(default_factory=_no_labels)

    @property
    def names(self) -> tuple[str, ...]:
        """The class of each box by name."""
        return tuple(self.classes[label] for label in self.labels.tolist())

    @cached_property
    def digest(self) -> str:
        """A digest of everything that is marked, by which a cache tells changed annotations."""
        shapes = [(o.label, [p.tolist() for p in o.polygons], o.run_lengths) for o in self.outlines]
        crowds = (self.crowds.tolist(), self.crowd_labels.tolist())
        content = (
            *(self.boxes.tolist(), self.labels.tolist(), self.classes, shapes, self.size),
            *(crowds if len(self.crowds) else ()),
        )
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    def only(self, wanted: Sequence[str]) -> AnnotatedPicture:
        """Return the picture with the objects of some classes, in the order of their names.

        Args:
            wanted: The names of the classes; objects of others are left out.
        """
        number = {name: index for index, name in enumerate(wanted)}
        moved = [number.get(name, -1) for name in self.classes]
        table = np.array([*moved, -1], dtype=np.int64)
        labels, crowd_labels = table[self.labels], table[self.crowd_labels]
        outlines = tuple(
            replace(outline, label=moved[outline.label])
            for outline in self.outlines
            if moved[outline.label] >= 0
        )
        kept = labels >= 0
        return replace(
            self,
            boxes=self.boxes[kept],
            labels=labels[kept],
            classes=tuple(wanted),
            outlines=outlines,
            crowds=self.crowds[crowd_labels >= 0],
            crowd_labels=crowd_labels[crowd_labels >= 0],
        )

    def __repr__(self) -> str:
        return f"AnnotatedPicture({str(self.picture)!r}, {self.digest})"


def clip_corners(corners: Sequence[float]) -> Box | None:
    """Return a box as centre and size, clipped to the picture; None if nothing of it is left.

    Args:
        corners: The numbers x0, y0, x1, y1 as shares of the picture; corners may be swapped.
    """
    x0, x1 = (min(max(x, 0.0), 1.0) for x in sorted((corners[0], corners[2])))
    y0, y1 = (min(max(y, 0.0), 1.0) for y in sorted((corners[1], corners[3])))
    if x1 - x0 < SMALLEST_SHARE or y1 - y0 < SMALLEST_SHARE:
        return None
    return (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0


def stack_boxes(
    found: Sequence[tuple[int, Box]],
) -> tuple[Array, Array]:
    """Return boxes (n, 4) and labels (n,) of pairs of label and box; repeated ones once."""
    unique = list(dict.fromkeys(found))
    boxes = np.array([box for _, box in unique], dtype=np.float32).reshape(-1, 4)
    return boxes, np.array([label for label, _ in unique], dtype=np.int64)
