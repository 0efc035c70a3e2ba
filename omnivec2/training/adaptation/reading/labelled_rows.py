"""The rows that every form of data is read into: one per labelled input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Array, Preprocessor, Sample
from omnivec2.training.data.table_files import as_name

Label = str | tuple[float, ...] | tuple[str, ...]
"""The name of a class, quantities, or tags."""


@dataclass
class Scene:
    """A hyperspectral cube (height, width, bands) whose pixels are the inputs."""

    cube: Array
    _samples: Sequence[Sample] = field(default=())

    def samples(self, preprocessor: Preprocessor[Any, Any]) -> Sequence[Sample]:
        """Return a window around every pixel, row by row; each is made when it is looked up."""
        if not len(self._samples):
            self._samples = preprocessor.prepare(self.cube).samples
        return self._samples


@dataclass(frozen=True)
class Pixel:
    """One labelled pixel of a scene."""

    scene: Scene
    index: int


Value = Path | JsonValue | Array | Pixel
"""A file, a JSON value as a client would send it, an array, or a pixel of a scene."""


@dataclass(frozen=True)
class Row:
    """One labelled input, not yet decoded.

    Attributes:
        where: The file and row, for messages.
        value: The input.
        label: The name of its class, its tags, or its quantities.
        group: The person, or the recording, that it is of; None if the data names none.
        is_joined: Whether the input is joined from all rows of its group in a file: a recording
            or a series, whose names may start anew in every file.
    """

    where: str
    value: Value
    label: Label
    group: str | None = None
    is_joined: bool = False


def group_name(cell: Any, column: str, where: str) -> str:
    """Return the group that a cell names.

    Args:
        cell: The cell.
        column: Its column, for messages.
        where: The file and row, for messages.

    Raises:
        InvalidInputError: The cell is empty.
    """
    if not (name := as_name(cell)):
        raise InvalidInputError(
            f"{where}: the group (column {column!r}) is empty; fill it in, or take the row out"
        )
    return name


def quantity(cell: Any, where: str) -> float:
    """Return a regression target.

    Args:
        cell: The cell that holds it.
        where: The file and row, for messages.

    Raises:
        InvalidInputError: The cell is not a finite number.
    """
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise InvalidInputError(f"{where}: expected a finite number as its label, got {cell!r}")
    return number
