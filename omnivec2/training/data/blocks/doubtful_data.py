"""Data that a training takes and whose figures would mislead: duplicates, and small classes."""

from __future__ import annotations

import time
from collections.abc import Mapping

from omnivec2.training.data.blocks.block_loading import DividedExamples
from omnivec2.training.data.blocks.examples import Origin, Problem, ProblemKind
from omnivec2.training.data.blocks.input_keys import input_key
from omnivec2.training.data.blocks.splits import PARTS

_FEWEST = 5
"""Training samples of a class below which a check warns."""


def find_duplicates(divided: DividedExamples, seconds: float | None) -> list[Problem]:
    """Return warnings of inputs that are in two parts: they are remembered, not learned.

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
            if divided.parts[other] != part:
                reason = (
                    f"the same input as {divided.examples[other].origin}, which is of part "
                    f"{divided.parts[other]}; this is of part {part}"
                )
                found.append(
                    Problem(ProblemKind.DUPLICATE, example.origin, reason, is_warning=True)
                )
    return found


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
        if counts["train"] and (few or not counts["test"]):
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
