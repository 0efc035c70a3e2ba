"""Data that a training takes and whose figures would mislead: duplicates, small classes, ids."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from omnivec2.training.data.blocks.block_loading import DividedExamples
from omnivec2.training.data.blocks.examples import Origin, Problem, ProblemKind
from omnivec2.training.data.blocks.input_keys import input_key
from omnivec2.training.data.blocks.splits import PARTS
from omnivec2.training.data.table_files import as_name

_FEWEST = 5
"""Training samples of a class below which a check warns."""

_FEWEST_ROWS = 20
"""Training rows below which texts that all differ may still be categories."""


def find_duplicates(divided: DividedExamples, seconds: float | None) -> list[Problem]:
    """Return warnings of inputs that are in two parts, or that are given with two labels.

    The first are remembered, not learned; of the second one label must be wrong. Equal rows of
    a table of values may well differ in their label: nothing is said of those.

    Args:
        divided: The examples with their parts.
        seconds: The time after which no more are compared; None compares all.
    """
    found: list[Problem] = []
    first: dict[str, int] = {}
    end = None if seconds is None else time.monotonic() + seconds
    for part in PARTS:
        for row in divided.rows(part).tolist():
            if end is not None and time.monotonic() > end:
                return found
            example = divided.examples[row]
            other = first.setdefault(input_key(example), row)
            same = f"the same input as {divided.examples[other].origin}, which is of"
            if divided.parts[other] != part:
                reason = f"{same} part {divided.parts[other]}; this is of part {part}"
                found.append(
                    Problem(ProblemKind.DUPLICATE, example.origin, reason, is_warning=True)
                )
            label, parsed = divided.parsed[other], divided.parsed[row]
            if isinstance(parsed, str) and parsed != label and not isinstance(example.value, list):
                reason = f"{same} class {label!r}; this is of class {parsed!r}"
                found.append(
                    Problem(ProblemKind.CONTRADICTION, example.origin, reason, is_warning=True)
                )
    return found


def find_similar_classes(
    divided: DividedExamples, classes: Mapping[str, Mapping[str, int]]
) -> list[Problem]:
    """Return warnings of classes whose names differ in nothing but case, spaces and hyphens."""
    found: list[Problem] = []
    first: dict[str, str] = {}
    for name in classes:
        plain = "".join(name.casefold().replace("-", " ").replace("_", " ").split())
        other = first.setdefault(plain or name, name)
        if other != name:
            reason = (
                f"classes {other!r} and {name!r} are learned as two; if they are one, write them "
                f"alike, or join them: target: {{kind: …, names: {{{other!r}: {other!r}, {name!r}: "
                f"{other!r}, …}}}}"
            )
            origin = _first_of(divided, name)
            found.append(Problem(ProblemKind.SIMILAR_CLASSES, origin, reason, is_warning=True))
    return found


def find_identifiers(
    divided: DividedExamples, route: str, columns: Sequence[Mapping[str, Any]]
) -> list[Problem]:
    """Return warnings of columns of a table that name or number its rows.

    Args:
        divided: The examples with their parts.
        route: The head's name.
        columns: The columns that the pre-processor reads, as its parameters state them.
    """
    train = [
        record
        for row in divided.rows("train").tolist()
        if isinstance(records := divided.examples[row].value, list)
        for record in records
        if isinstance(record, dict)
    ]
    if len(train) < _FEWEST_ROWS:
        return []
    found: list[Problem] = []
    for column in columns:
        name = str(column["name"])
        cells = [cell for record in train if (cell := record.get(name)) is not None]
        if "categories" in column:
            is_identifier = len(column["categories"]) > 0.9 * len(train)
            what = "has another text in nearly every row"
        else:
            is_identifier = _count_up(cells)
            what = "numbers the rows"
        if is_identifier:
            shown = ", ".join(as_name(cell) for cell in cells[:3])
            reason = (
                f"column {name!r} {what} ({shown}, …), so it tells nothing of a new one; if so, "
                f"leave it out: leave_out: [{name}]"
            )
            found.append(Problem(ProblemKind.IDENTIFIER, Origin(route), reason, is_warning=True))
    return found


def _count_up(cells: Sequence[Any]) -> bool:
    """Whether cells are whole numbers, each larger than the one before, with few left out."""
    if not all(isinstance(cell, int | float) and float(cell).is_integer() for cell in cells):
        return False
    steps = [after - before for before, after in pairwise(cells)]
    return bool(steps) and min(steps) > 0 and sum(steps) < 2 * len(cells)


def find_small_classes(
    divided: DividedExamples, classes: Mapping[str, Mapping[str, int]]
) -> list[Problem]:
    """Return warnings of classes that are too small to learn, or that are not measured.

    Args:
        divided: The examples with their targets.
        classes: The number of examples by class and part.
    """
    found: list[Problem] = []
    for name, counts in classes.items():
        few = counts["train"] < _FEWEST
        # Classes that only other parts have are faults of their own.
        is_declared = not any(counts.values())
        if is_declared or (counts["train"] and (few or not counts["test"])):
            reason = (
                f"class {name!r} has {counts['train']} training samples, "
                f"{counts['val']} of val and {counts['test']} of test"
            )
            origin = _first_of(divided, name)
            found.append(Problem(ProblemKind.FEW_SAMPLES, origin, reason, is_warning=True))
    return found


def _first_of(divided: DividedExamples, name: str) -> Origin:
    """Return the place of the first example of a class."""
    for example, parsed in zip(divided.examples, divided.parsed, strict=True):
        if parsed == name or (isinstance(parsed, tuple) and name in parsed):
            return example.origin
    return Origin(name)
