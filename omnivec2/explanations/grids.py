"""Grids of cells over pictures, and where they lie in the picture as it was sent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import JsonValue

from omnivec2.explanations.occlusion import Span, even_spans
from omnivec2.preprocess.formats.pictures.raster import ResizeMode


@dataclass(frozen=True)
class Cell:
    """A cell of a picture: its rows and columns in the network's pixels, and its place.

    Attributes:
        rows: The rows of the network's picture.
        columns: The columns of the network's picture.
        box: The cell in pixels of the original picture, in the form of detected boxes.
    """

    rows: Span
    columns: Span
    box: dict[str, JsonValue]


def cells(
    seen: tuple[int, int], original: tuple[int, int], how: ResizeMode, most: int
) -> list[Cell]:
    """Cut a picture into cells that are as square as their number allows, row by row.

    Args:
        seen: The (width, height) of the network's picture.
        original: The (width, height) of the picture as it was sent, upright.
        how: The way in which the one became the other.
        most: The most cells.
    """
    width, height = seen
    scale_x, scale_y = original[0] / width, original[1] / height
    left = top = 0.0
    if how == "crop":
        scale_x = scale_y = min(scale_x, scale_y)
        left = (original[0] - width * scale_x) / 2
        top = (original[1] - height * scale_y) / 2
    # Not more cells than there are pixels in the original.
    most_columns = max(1, min(width, int(width * scale_x)))
    most_rows = max(1, min(height, int(height * scale_y)))
    rows, columns = _shape(width, height, most)
    return [
        Cell(
            y,
            x,
            {
                "xmin": round(left + x[0] * scale_x),
                "ymin": round(top + y[0] * scale_y),
                "xmax": round(left + x[1] * scale_x),
                "ymax": round(top + y[1] * scale_y),
            },
        )
        for y in even_spans(height, min(rows, most_rows))
        for x in even_spans(width, min(columns, most_columns))
    ]


def _shape(width: int, height: int, most: int) -> tuple[int, int]:
    """Return the rows and columns of the finest grid of nearly square cells."""
    rows = max(1, math.isqrt(int(most * height / width)))
    columns = max(1, min(most // rows, round(rows * width / height)))
    return min(rows, most), columns
