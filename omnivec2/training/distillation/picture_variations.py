"""Pictures unlike photographs, so that a student copies its teacher on more than those."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

_Change = Callable[[Image.Image], Image.Image]


def _in_gray(picture: Image.Image) -> Image.Image:
    return picture.convert("L").convert("RGB")


def _edges(picture: Image.Image) -> Image.Image:
    return picture.convert("L").filter(ImageFilter.FIND_EDGES).convert("RGB")


def _two_tones(picture: Image.Image) -> Image.Image:
    return ImageOps.autocontrast(picture.convert("L")).quantize(2).convert("RGB")


def _coarse(picture: Image.Image) -> Image.Image:
    return picture.resize((max(6, picture.width // 6), max(6, picture.height // 6)))


_CHANGES: tuple[tuple[float, _Change], ...] = (
    (0.15, _in_gray), (0.07, ImageOps.invert), (0.08, _edges), (0.08, _two_tones), (0.07, _coarse),
)  # fmt: skip
"""The probability of each change; often there is none."""


def varied(picture: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Return a random part of a picture, perhaps mirrored, in gray, inverted or coarse."""
    share = generator.uniform(0.5, 1.0)
    width, height = (max(8, int(side * share)) for side in picture.size)
    left = int(generator.integers(0, picture.width - width + 1))
    top = int(generator.integers(0, picture.height - height + 1))
    picture = picture.crop((left, top, left + width, top + height))
    drawn = generator.random()
    for probability, change in _CHANGES:
        if drawn < probability:
            picture = change(picture)
            break
        drawn -= probability
    return ImageOps.mirror(picture) if generator.random() < 0.5 else picture


_SCALE = 4
"""Drawings are made larger and reduced, for smooth edges."""


def drawing(generator: np.random.Generator) -> Image.Image:
    """Return one to four random lines, arcs and shapes, 8 to 32 pixels wide."""
    side = int(generator.integers(8, 33))
    canvas = Image.new("L", (_SCALE * side, _SCALE * side), 0)
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(generator.integers(1, 5))):
        _draw_shape(pen, _SCALE * side, generator)
    picture = canvas.resize((side, side))
    return (ImageOps.invert(picture) if generator.random() < 0.3 else picture).convert("RGB")


def _draw_shape(pen: ImageDraw.ImageDraw, side: int, generator: np.random.Generator) -> None:
    tone = int(generator.integers(120, 256))
    width = int(side * generator.uniform(0.04, 0.16)) + 1
    points = [(float(x), float(y)) for x, y in side * generator.uniform(0.1, 0.9, (4, 2))]
    low, high = np.sort(side * generator.uniform(0.1, 0.9, (2, 2)), axis=0)
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    kind = generator.random()
    if kind < 0.4:
        pen.line(points[: int(generator.integers(2, 5))], fill=tone, width=width, joint="curve")
    elif kind < 0.75:
        start, length = int(generator.integers(0, 360)), int(generator.integers(180, 360))
        pen.arc(box, start, start + length, fill=tone, width=width)
    elif kind < 0.82:
        pen.ellipse(box, fill=tone)
    elif kind < 0.9:
        pen.rectangle(box, fill=tone)
    else:
        pen.polygon(points[:3], fill=tone)
