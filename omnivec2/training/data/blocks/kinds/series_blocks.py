"""Tables of time series, to be forecast or classified: ``series``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, JsonValue, field_validator, model_validator

from omnivec2.errors import ArtifactError, InputError, InvalidInputError
from omnivec2.preprocess import Array
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.times.date_columns import DateOrder
from omnivec2.spec import HeadSpec, Modality
from omnivec2.training.data.annotations.series.series_tables import (
    SeriesColumns,
    TableSeries,
    read_series,
)
from omnivec2.training.data.annotations.series.ts_files import refuse_forecast
from omnivec2.training.data.base import DataDirectories, TaskData, build, preprocess_spec
from omnivec2.training.data.blocks.examples import (
    Example,
    Origin,
    Problem,
    ProblemKind,
    folder_in_place_of_table,
    raise_problems,
)
from omnivec2.training.data.blocks.files import BlockFiles, listed
from omnivec2.training.data.blocks.kinds.base import Block, Names, TaskOfBlock
from omnivec2.training.data.blocks.targets import AnyTarget
from omnivec2.training.data.blocks.targets.class_targets import ClassTarget
from omnivec2.training.data.blocks.targets.forecast_targets import ForecastTarget
from omnivec2.training.data.blocks.windows.forecast_windows import ForecastWindows
from omnivec2.training.data.blocks.windows.series_parts import series_parts
from omnivec2.training.data.table_files import as_name, read_table


class SeriesBlock(Block):
    """Series to be continued, or, with ``label``, to be classified.

    ::

        date,load,oil                  wide: a column per series
        unique_id,ds,y                 long: a column names the series of each row
        label,v1,v2,v3, …              a row per series, to be classified; or a file .ts of aeon
    """

    kind: Literal["series"] = "series"
    target: AnyTarget = Field(
        default=ForecastTarget(), description="forecast; class or tags where label is given"
    )
    time: str | None = Field(default=None, description="column of times; found unless given")
    id: Names = Field(default=(), description="columns that name the series of a row")
    values: Names = Field(
        default=(), description="columns of values; all others with numbers unless given"
    )
    leave_out: Names = Field(default=(), description="columns that are neither, as covariates")
    date_order: DateOrder | None = Field(
        default=None, description="order of dates such as 01/02/2024"
    )
    encoding: str | None = Field(
        default=None, description="encoding of text files, such as cp1252; UTF-8 unless given"
    )
    context: int | None = Field(
        default=None, ge=16, description="steps that are read: 96; of classes the shortest series"
    )
    horizon: int = Field(default=24, ge=1, description="steps that are forecast")
    quantiles: tuple[float, ...] = Field(
        default=(0.1, 0.5, 0.9), description="levels of quantiles of the forecast; may be empty"
    )
    step: int = Field(default=1, ge=1, description="distance of the windows that are trained on")
    label: Names = Field(default=(), description="column of the class of a series")

    @field_validator("quantiles")
    @classmethod
    def _levels_ascend(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < level < 1 for level in levels) or list(levels) != sorted(set(levels)):
            raise ValueError("expected ascending levels between 0 and 1, such as [0.1, 0.5, 0.9]")
        return levels

    @model_validator(mode="before")
    @classmethod
    def _target_follows_label(cls, values: Any) -> Any:
        stated = isinstance(values, dict) and values.get("label") not in (None, "", (), [])
        if stated and "target" not in values:
            return {**values, "target": ClassTarget()}
        return values

    @property
    def forecasts(self) -> bool:
        """Whether series are continued rather than classified."""
        return isinstance(self.target, ForecastTarget)

    def parameters(self, modality: Modality) -> Mapping[str, JsonValue]:
        """Return the lengths of context and horizon, as far as the block states them."""
        if modality is not Modality.TIMESERIES:
            raise ArtifactError(f"kind: series is for timeseries/…, not for {modality.value}/…")
        if self.forecasts:
            return {"context_length": self.context or 96, "horizon": self.horizon}
        return {} if self.context is None else {"context_length": self.context}

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield the series of all tables."""
        for part, path in self.paths(files):
            name = files.name(path)
            if path.is_dir():
                yield folder_in_place_of_table(name)
                continue
            try:
                if self.forecasts:
                    refuse_forecast(path)
                frame = read_table(path, encoding=self.encoding)
                found = list(self._examples(frame, name, part, path))
            except (ArtifactError, InputError) as error:
                reason = str(error).removeprefix(f"{path}: ").removeprefix(f"{name}: ")
                yield Problem(ProblemKind.BAD_CELL, Origin(name), reason)
                continue
            yield from found

    def _examples(
        self, frame: Frame, name: str, part: str | None, path: Path
    ) -> Iterator[Example | Problem]:
        columns = self.columns_of_name(name)
        if self.label and not self.id and self.time is None:
            yield from self._rows(_numbered(frame, self.label), name, part, columns)
            return
        found = read_series(
            frame,
            SeriesColumns(
                self.time, self.id, self.values, (*self.leave_out, *self.label), self.date_order
            ),
            name,
        )
        for series in found:
            origin = Origin(name, frame.row_number(int(series.rows[0])))
            if self.forecasts:
                yield Example(path, series, origin, part, columns)
                continue
            target = _only_label(frame, self.label, series, origin)
            if isinstance(target, Problem):
                yield target
            else:
                yield Example(_json(series.values), target, origin, part, columns)

    def _rows(
        self, frame: Frame, name: str, part: str | None, columns: Mapping[str, Any]
    ) -> Iterator[Example | Problem]:
        """Yield a series per row, whose values stand in its columns in their order."""
        frame.require([*self.label, *self.values, *self.leave_out, *self.split_columns])
        taken = {*self.label, *self.leave_out, *self.split_columns}
        names = self.values or tuple(n for n in frame.columns if n not in taken)
        values = np.stack([frame.numbers(column) for column in names], axis=1)
        labels = {
            # 1.0000000e+00 and 1 are one class.
            label: frame.numbers(label)
            if not frame.named and frame.is_numeric(label)
            else frame.columns[label]
            for label in self.label
        }
        for row in range(frame.rows):
            known = np.flatnonzero(np.isfinite(values[row]))
            origin = Origin(name, frame.row_number(row))
            if not len(known):
                yield Problem(ProblemKind.EMPTY, origin, "the row has no values")
                continue
            # Shorter series of one table are filled up behind their end.
            series = values[row, : known[-1] + 1]
            target = {label: labels[label][row] for label in self.label}
            own = {c: frame.columns[c][row] for c in self.split_columns}
            yield Example(_json(series), target, origin, part, {**columns, **own})

    def load(
        self, route: str, block: TaskOfBlock, at: DataDirectories, head: HeadSpec | None
    ) -> TaskData | None:
        """Return windows of all series to be forecast; None where they are classified."""
        modality = Modality(route.partition("/")[0])
        if not self.forecasts:
            return None
        examples: list[Example] = []
        problems: list[Problem] = []
        for one in self.read(BlockFiles(at.root, modality)):
            if isinstance(one, Problem):
                problems.append(one)
            else:
                examples.append(one)
        raise_problems(route, problems)
        preprocess = (
            head.preprocess
            if head
            else preprocess_spec(modality, **{**self.parameters(modality), **block.preprocess})
        )
        context = int(str(preprocess.parameters["context_length"]))
        horizon = int(str(preprocess.parameters["horizon"]))
        try:
            bounds = series_parts(self.split, examples)
            windows = ForecastWindows(
                [example.target for example in examples],
                bounds,
                context,
                horizon,
                build(preprocess),
            )
            splits = windows.splits(self.step)
        except ArtifactError as error:
            raise ArtifactError(f"{route}: {error}") from error
        return TaskData(
            route=route,
            family=self.target.family,
            preprocess=preprocess,
            splits=splits,
            metric=block.metric or self.target.metric,
            test_name=block.test_name or f"{route}, part test",
            sources=block.sources or (self.unstated_source(),),
            horizon=horizon,
            quantiles=head.quantiles if head else self.quantiles,
            description=block.description,
            further_metrics=block.further_metrics,
            block=block.model_dump(mode="json", exclude_none=True),
        )


def _numbered(frame: Frame, labels: Sequence[str]) -> Frame:
    """Return a table without names with the numbers of its columns, from 0, as their names.

    Raises:
        InvalidInputError: The label is none of them.
    """
    if frame.named:
        return frame
    columns = {str(number): cells for number, cells in enumerate(frame.columns.values())}
    if set(labels) <= set(frame.columns):  # column 1, as messages call it
        return frame
    if unknown := [label for label in labels if label not in columns]:
        raise InvalidInputError(
            f"the table has no header line, so there is no column {unknown[0]!r}; give the number "
            f"of the column of the class as label, from 0 to {len(columns) - 1}"
        )
    return replace(frame, columns=columns)


def _only_label(
    frame: Frame, names: Sequence[str], series: TableSeries, origin: Origin
) -> dict[str, Any] | Problem:
    """Return the label of a series, which all of its rows must share."""
    target = {}
    for name in names:
        cells: dict[str, int] = {}
        for row in series.rows.tolist():
            cells.setdefault(as_name(frame.columns[name][row]), row)
        if len(cells) > 1:
            other = Origin(origin.file, frame.row_number(list(cells.values())[1]))
            reason = f"series {series.name!r} has several labels in {name!r}: {listed(list(cells))}"
            return Problem(ProblemKind.BAD_TARGET, other, reason)
        target[name] = next(iter(cells))
    return target


def _json(values: Array) -> JsonValue:
    cells: list[JsonValue] = [None if np.isnan(value) else float(value) for value in values]
    return {"target": cells}
