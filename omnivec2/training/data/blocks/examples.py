"""What readers of blocks yield: examples with their origin, or problems with theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pydantic import JsonValue

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array

MOST_NAMED = 3
"""The number of problems that the error of a training run names."""


@dataclass(frozen=True)
class Origin:
    """The place that an example comes from.

    Attributes:
        file: The file, relative to the directory of data where it lies in it.
        row: The number of the row, line or entry in the file, from 1; None for a whole file.
        unit: The word for a row of this file, such as ``row`` or ``line``.
    """

    file: str
    row: int | None = None
    unit: str = "row"

    def __str__(self) -> str:
        return self.file if self.row is None else f"{self.file}, {self.unit} {self.row}"


class Blob(Protocol):
    """Encoded bytes that are read when they are needed, such as an entry of an archive."""

    def read(self) -> bytes:
        """Return the bytes."""

    def __str__(self) -> str:
        """Return the place and the size, by which a cache tells changed content."""


Value = Path | Blob | JsonValue | Array
"""A file, stored bytes, a JSON value as a client would send it, or an array."""


@dataclass(frozen=True)
class Example:
    """One input with its target, not yet decoded.

    Attributes:
        value: The input.
        target: The target as the data states it; the block's target kind reads it.
        origin: The place that both come from.
        part: The part that the data itself puts it in, as the data spells it, or None.
        columns: The further values by name, by which the parts may be divided.
    """

    value: Value
    target: Any
    origin: Origin
    part: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)


class ProblemKind(StrEnum):
    """The kinds of faults that data may have; `omnivec2 data check` counts by them."""

    MISSING_FILE = "missing file"
    UNREADABLE_FILE = "unreadable file"
    UNDECODABLE = "undecodable input"
    EMPTY = "empty"
    BAD_TARGET = "bad target"
    UNKNOWN_PART = "unknown part"
    UNKNOWN_CLASS = "class not trained"
    FEW_SAMPLES = "too few samples"
    DUPLICATE = "duplicate across parts"
    CONTRADICTION = "one input, two classes"
    SIMILAR_CLASSES = "classes of nearly the same name"
    IDENTIFIER = "column that names rows"
    BAD_DATE = "unreadable date"
    BAD_CELL = "bad cell"
    LEFT_OUT = "left out"
    BLOCK = "block that cannot be used"


@dataclass(frozen=True)
class Problem:
    """One fault of the data.

    Attributes:
        kind: The kind of the fault.
        origin: The place of the fault.
        reason: The value that was found, and what was expected.
        is_warning: Whether training goes on in spite of it.
    """

    kind: ProblemKind
    origin: Origin
    reason: str
    is_warning: bool = False

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}"


def raise_problems(route: str, problems: list[Problem]) -> None:
    """Raise one error that names the first problems, if there are any that stop training.

    Raises:
        ArtifactError: There is a problem that is more than a warning.
    """
    faults = [problem for problem in problems if not problem.is_warning]
    if not faults:
        return
    named = "; ".join(str(problem) for problem in faults[:MOST_NAMED])
    more = f"; and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
    raise ArtifactError(
        f"{route}: {named}{more} (`omnivec2 data check RECIPE` lists everything that is wrong)"
    )


def folder_in_place_of_table(name: str) -> Problem:
    """Return the problem of a folder that is named where a table is expected."""
    reason = "expected a table, got a folder; name the files, or a pattern such as *.csv"
    return Problem(ProblemKind.UNREADABLE_FILE, Origin(name), reason)
