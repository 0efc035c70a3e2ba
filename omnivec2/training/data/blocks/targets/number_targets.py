"""One or several quantities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, Target, TaskFamily
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind


@dataclass(frozen=True)
class FittedNumbers(FittedTarget):
    """Quantities with their names and units."""

    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Array:
        """Return float32 [n, targets], in real units."""
        del kept
        values = np.array([list(row.values()) for row in parsed], dtype=np.float32)
        return values.reshape(len(parsed), len(self.targets))


class NumbersTarget(TargetKind):
    """One or several quantities per input; mean and deviation are those of the training part."""

    kind: Literal["numbers"] = "numbers"
    units: dict[str, str] = Field(default={}, description="quantity -> the unit it is given in")
    names: dict[str, str] = Field(default={}, description="column -> the name of its quantity")
    loss: Literal["l2", "l1"] = Field(
        default="l2", description="squared errors, or absolute ones, which outliers move less"
    )

    family: ClassVar[TaskFamily] = TaskFamily.REGRESSION
    metric: ClassVar[str] = "rmse"

    def parse(self, example: Example) -> dict[str, float]:
        """Return the finite values by the names of their quantities."""
        raw = example.target
        cells = raw if isinstance(raw, Mapping) else {"value": raw}
        return {self.names.get(name, name): _finite(name, cell) for name, cell in cells.items()}

    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedNumbers:
        """Return the quantities, each of which must differ within the training part."""
        del preprocess
        if not parsed:
            raise ArtifactError("the training part is empty")
        names = list(parsed[0])
        for name in names:
            if head is None and len({row[name] for row in parsed}) < 2:
                raise ArtifactError(
                    f"{name!r} is {parsed[0][name]:g} in the whole training part; there is "
                    "nothing to learn from it"
                )
        return FittedNumbers(
            targets=tuple(Target(name=name, unit=self.units.get(name, "")) for name in names),
            further={"loss": self.loss},
        )

    def quantities(self, parsed: Sequence[Any]) -> tuple[str, ...]:
        """Return the names of the quantities."""
        return tuple(parsed[0]) if parsed else ()


def _finite(name: str, cell: Any) -> float:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise InvalidInputError(f"the target {name!r} is empty")
    try:
        number = float(cell)
    except (TypeError, ValueError):
        raise InvalidInputError(f"the target {name!r} is no number: {cell!r}") from None
    if np.isnan(number):
        raise InvalidInputError(f"the target {name!r} is empty or NaN; expected a finite number")
    if not np.isfinite(number):
        raise InvalidInputError(f"the target {name!r} is {number}; expected a finite number")
    return number
