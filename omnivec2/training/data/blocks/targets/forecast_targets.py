"""The steps that follow: the target of forecasting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, TaskFamily
from omnivec2.training.data.annotations.series.series_tables import TableSeries
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind


@dataclass(frozen=True)
class FittedForecast(FittedTarget):
    """The steps behind a context, which the windows of a block hold."""

    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Sequence[Any]:
        """Return the values behind each context."""
        del kept
        return list(parsed)


class ForecastTarget(TargetKind):
    """The next steps of a series, in its own units."""

    kind: Literal["forecast"] = "forecast"

    family: ClassVar[TaskFamily] = TaskFamily.FORECASTING
    metric: ClassVar[str] = "mse"

    def parse(self, example: Example) -> TableSeries:
        """Return the series."""
        if not isinstance(example.target, TableSeries):
            raise InvalidInputError("target: forecast needs kind: series")
        return example.target

    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedForecast:
        """Return the kind with the horizon of the pre-processing."""
        del parsed, head
        return FittedForecast(horizon=int(str(preprocess.parameters["horizon"])))
