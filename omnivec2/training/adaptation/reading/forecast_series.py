"""Tables of series to be continued -> windows to learn from and to measure on.

Time decides on the parts: the last share of every series is the test part, and the last fifth of
what is before it validates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.network.tokenizers.series import TimeSeriesTokenizer
from omnivec2.preprocess import Array, Preprocessor
from omnivec2.training.adaptation.adaptation_request import AdaptRequest, DataPart
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.data.annotations.series.series_tables import (
    SeriesColumns,
    TableSeries,
    read_series,
)
from omnivec2.training.data.annotations.series.ts_files import refuse_forecast
from omnivec2.training.data.base import Split
from omnivec2.training.data.blocks.windows.forecast_windows import Bounds, ForecastWindows
from omnivec2.training.data.table_files import read_table

_VALIDATION_SHARE = 0.2
_MOST_WINDOWS = 4000
"""Windows that are learned from, and as many that are measured on, evenly chosen."""

_LONGEST_CONTEXT = 336
_SHORTEST_CONTEXT = 16
_HORIZONS_OF_CONTEXT = 4
_FEWEST_WINDOWS = 10
_PARTS = ("train", "val", "test")
_MOST_NAMED = 3


@dataclass(frozen=True)
class ForecastParts:
    """The series of an adaptation.

    Attributes:
        series: The series that are learned from; their last share is the test part unless there
            is another.
        test: The series of a test part of its own; empty without one.
        context: The steps that are read.
    """

    series: list[TableSeries]
    test: list[TableSeries]
    context: int


def read_forecast_parts(request: AdaptRequest) -> ForecastParts:
    """Read the series of a request, and choose the context where the request does not.

    Raises:
        InvalidInputError: A table cannot be read, or its series are too short; the message names
            the file and what to change.
    """
    series = read_forecast_series(request.train)
    test = [] if request.test is None else read_forecast_series(request.test)
    longest = max(len(one.values) for one in series)
    learned = longest if request.test is not None else round(longest * (1 - request.test_share))
    learned = round(learned * (1 - _VALIDATION_SHARE))
    most = learned - request.horizon - _FEWEST_WINDOWS + 1
    context = request.context or min(
        max(_HORIZONS_OF_CONTEXT * request.horizon, 4 * _SHORTEST_CONTEXT), _LONGEST_CONTEXT, most
    )
    if most < max(context, _SHORTEST_CONTEXT):
        raise InvalidInputError(
            f"{', '.join(map(str, request.train.path))}: the longest series has {longest:,} steps, "
            f"of which {max(learned, 0):,} are before the validation and the test part; "
            f"{_FEWEST_WINDOWS} windows of a context of {max(context, _SHORTEST_CONTEXT)} and a "
            f"horizon of {request.horizon} steps need "
            f"{max(context, _SHORTEST_CONTEXT) + request.horizon + _FEWEST_WINDOWS - 1:,}: "
            "give a shorter --horizon or --context, or longer series"
        )
    return ForecastParts(series, test, context)


def read_forecast_series(part: DataPart) -> list[TableSeries]:
    """Return all series of one or several tables.

    Raises:
        InvalidInputError: A file is no table, a column is missing, or a cell cannot be read.
    """
    found: list[TableSeries] = []
    for name in part.path:
        path = Path(name)
        if path.is_dir():
            raise InvalidInputError(
                f"{path} is a folder; a forecast needs tables of series: CSV, TSV or Parquet"
            )
        refuse_forecast(path)
        columns = SeriesColumns(
            time=part.time,
            ids=() if part.group is None else (part.group,),
            targets=part.input,
            others=tuple(part.only),
        )
        try:
            found += read_series(read_table(path), columns, path.name)
        except ArtifactError as error:
            raise InvalidInputError(str(error)) from error
    return found


@dataclass(frozen=True)
class PreparedWindows:
    """Windows of series.

    Attributes:
        train: The windows to learn from, of which those of fold 0 validate.
        test: The windows to measure on.
        pool: The number of windows that those to learn from were chosen from.
        notes: The sentences that tell what was left out.
    """

    train: Prepared
    test: Prepared
    pool: int
    notes: tuple[str, ...]


def prepare_windows(
    parts: ForecastParts, request: AdaptRequest, preprocessor: Preprocessor[Any, Any]
) -> PreparedWindows:
    """Return the windows to learn from and those to measure on.

    Raises:
        InvalidInputError: A part has no usable window.
    """
    own_test = 0.0 if parts.test else request.test_share
    bounds = [_bounds(len(one.values), own_test) for one in parts.series]
    series = [*parts.series, *parts.test]
    bounds += [{"test": (0, len(one.values))} for one in parts.test]
    windows = ForecastWindows(series, bounds, parts.context, request.horizon, preprocessor)
    splits = _splits(windows)
    pool = len(splits["train"]) + len(splits["val"])
    share = request.fraction * min(1.0, _MOST_WINDOWS / pool)
    train = _evenly(splits["train"], max(1, round(share * len(splits["train"]))))
    val = _evenly(splits["val"], max(1, round(share * len(splits["val"]))))
    learned = _joined([_prepared(train, fold=-1), _prepared(val, fold=0)])
    test = _prepared(_evenly(splits["test"], _MOST_WINDOWS), fold=-1)
    return PreparedWindows(learned, test, pool, tuple(_left_out(windows, splits)))


def windows_of(
    series: Sequence[TableSeries], context: int, horizon: int, preprocessor: Preprocessor[Any, Any]
) -> Split:
    """Return every window of new series that a head is measured on.

    Args:
        series: The series.
        context: The steps that the head reads.
        horizon: The steps that it forecasts.
        preprocessor: The pre-processor of the head.

    Raises:
        InvalidInputError: No series is long enough.
    """
    bounds: list[Bounds] = [{"test": (0, len(one.values))} for one in series]
    try:
        return ForecastWindows(series, bounds, context, horizon, preprocessor).part("test")
    except ArtifactError as error:
        raise InvalidInputError(
            f"{error}; give series of {context + horizon:,} steps or more"
        ) from error


def _bounds(steps: int, test_share: float) -> Bounds:
    test = round(steps * (1 - test_share))
    val = round(test * (1 - _VALIDATION_SHARE))
    return {"train": (0, val), "val": (val, test), "test": (test, steps)}


def _splits(windows: ForecastWindows) -> dict[str, Split]:
    try:
        return {part: windows.part(part) for part in _PARTS}
    except ArtifactError as error:
        raise InvalidInputError(
            f"{error}; give a shorter --horizon or --context, or longer series"
        ) from error


def _left_out(windows: ForecastWindows, splits: Mapping[str, Split]) -> Iterator[str]:
    """Yield what to know of series and windows that nothing is learned from."""
    needed = windows.context + windows.horizon
    short = [one.name for one in windows.series if len(one.values) < needed]
    if short:
        more = f" and {len(short) - _MOST_NAMED} more" if len(short) > _MOST_NAMED else ""
        yield (
            f"left out: {', '.join(short[:_MOST_NAMED])}{more}, shorter than a window of "
            f"{needed:,} steps"
        )
    possible = sum(windows.count(part) for part in _PARTS)
    if unusable := possible - sum(map(len, splits.values())):
        yield (
            f"left out: {unusable:,} of {possible:,} windows, which lack more than "
            f"{windows.most_missing:.0%} of their values or whose context is constant"
        )


def _evenly(split: Split, most: int) -> Split:
    if len(split) <= most:
        return split
    return split.take(np.linspace(0, len(split) - 1, most).round().astype(np.int64))


def _prepared(split: Split, *, fold: int) -> Prepared:
    """Return windows with the next steps in the deviation of each context, from its mean."""
    assert split.scales is not None
    samples = [split.samples[index] for index in range(len(split))]
    future = np.stack([split.targets[index] for index in range(len(split))]).astype(np.float64)
    location, scale = context_units(np.stack([sample["values"] for sample in samples]))
    count = len(samples)
    return Prepared(
        samples,
        np.arange(count),
        ((future - location) / scale).astype(np.float32),
        folds=np.full(count, fold),
        scales=(split.scales / scale[:, 0]).astype(np.float32),
    )


def context_units(values: Array) -> tuple[Array, Array]:
    """Return mean and deviation of contexts (n, context) as the tokenizer takes them, (n, 1)."""
    import torch

    location, scale, _ = TimeSeriesTokenizer.normalised(torch.from_numpy(values).double())
    return location.numpy(), scale.numpy()


def _joined(parts: Sequence[Prepared]) -> Prepared:
    samples = [sample for part in parts for sample in part.samples]
    return Prepared(
        samples,
        np.arange(len(samples)),
        np.concatenate([part.labels for part in parts]),
        folds=np.concatenate([part.folds for part in parts if part.folds is not None]),
        scales=np.concatenate([part.scales for part in parts if part.scales is not None]),
    )
