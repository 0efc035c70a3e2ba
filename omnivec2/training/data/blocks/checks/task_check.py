"""What a check found in the data of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from omnivec2.preprocess import Sample
from omnivec2.training.data.blocks.examples import Origin, Problem


@dataclass(frozen=True)
class ShownExample:
    """A prepared example for the contact sheet.

    Attributes:
        part: The part that it is in.
        origin: The place that it comes from.
        sample: Its arrays.
        target: Its target as a loss is given it.
        caption: Its target in words.
    """

    part: str
    origin: Origin
    sample: Sample
    target: Any
    caption: str


@dataclass
class TaskCheck:
    """What a check found in the data of one task.

    Attributes:
        route: The head's name.
        kind: The kind of its block.
        family: The family of the head.
        counts: The number of usable examples by part.
        classes: The number of examples by class and part.
        quantities: The mean and deviation over the training part, by quantity.
        problems: The faults, in the order of files and rows.
        notes: The remarks of the pre-processor on inputs, with their counts.
        decoded: The number of inputs that were decoded.
        shown: Some examples of each part and class.
        parameters: The parameters of the pre-processor.
        inputs: The columns that are inputs, with their kinds, or the series that are forecast.
    """

    route: str
    kind: str
    family: str
    counts: dict[str, int] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    quantities: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    decoded: int = 0
    shown: list[ShownExample] = field(default_factory=list)
    parameters: dict[str, JsonValue] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()

    @property
    def is_broken(self) -> bool:
        """Whether training would stop at a problem."""
        return any(not problem.is_warning for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the examples as JSON."""
        return {
            "route": self.route,
            "kind": self.kind,
            "family": self.family,
            "counts": self.counts,
            "classes": self.classes,
            "quantities": self.quantities,
            "inputs": list(self.inputs),
            "decoded": self.decoded,
            "notes": self.notes,
            "problems": [
                {
                    "kind": problem.kind.value,
                    "file": problem.origin.file,
                    problem.origin.unit: problem.origin.row,
                    "reason": problem.reason,
                    "warning": problem.is_warning,
                }
                for problem in self.problems
            ],
        }


def problems_by_kind(problems: Sequence[Problem]) -> dict[str, list[Problem]]:
    """Return problems grouped by their kind, in the order of the first of each."""
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.kind.value, []).append(problem)
    return groups
