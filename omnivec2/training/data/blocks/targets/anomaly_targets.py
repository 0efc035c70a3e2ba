"""Whether a series is normal, learned from normal ones."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, TaskFamily
from omnivec2.training.data.base import TargetForm
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind
from omnivec2.training.data.table_files import as_name

LABEL = "anomaly"


@dataclass(frozen=True)
class FittedAnomalies(FittedTarget):
    """Marks of what is not normal."""

    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Array:
        """Return 1 where a series is not normal, uint8 [n, 1]."""
        del kept
        return np.array(parsed, dtype=np.uint8).reshape(-1, 1)


class AnomalyTarget(TargetKind):
    """Whether a series is normal. Normal ones are learned; others fit and measure the threshold."""

    kind: Literal["anomaly"] = "anomaly"
    normal: tuple[str, ...] = Field(
        default=("0", "normal", "ok", "false"), description="labels of normal series"
    )

    family: ClassVar[TaskFamily] = TaskFamily.CLASSIFICATION
    metric: ClassVar[str] = "map"

    def parse(self, example: Example) -> bool:
        """Return whether a series is not normal."""
        name = as_name(self.only_cell(example))
        if not name:
            raise InvalidInputError("the label is empty")
        return name.lower() not in {normal.lower() for normal in self.normal}

    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedAnomalies:
        """Return the kind; the training part must have normal series."""
        del preprocess, head
        if all(parsed):
            raise ArtifactError(
                f"no series of the training part is normal; normal labels are {self.normal}"
            )
        return FittedAnomalies(labels=(LABEL,), form=TargetForm.ANOMALY)

    def stratum(self, parsed: Any) -> Hashable:
        """Return whether it is normal."""
        return bool(parsed)

    def counted(self, parsed: Any) -> tuple[str, ...]:
        """Return the name for it."""
        return (LABEL if parsed else "normal",)
