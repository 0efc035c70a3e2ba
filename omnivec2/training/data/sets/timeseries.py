"""Time series: the load and oil temperature of an electricity transformer (ETTh1)."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import DataSource, Modality, TaskFamily
from omnivec2.training.data.base import (
    DataDirectories,
    LazySequence,
    Loader,
    Split,
    TaskData,
    preprocess_spec,
)

CONTEXT, HORIZON = 336, 96
_MONTH_HOURS = 30 * 24
_PARTS = {"train": (0, 12), "val": (12, 16), "test": (16, 20)}
"""Months. The split of Informer (Zhou et al. 2021) and of the tables that follow it;
windows of ``val`` and ``test`` may reach back into the part before."""


def load_etth1(at: DataDirectories) -> TaskData:
    """Load ETTh1: each of its seven channels is a series, and every window a sample."""
    file = at.find("timeseries_ett/ETTh1.csv.gz")
    spec = preprocess_spec(Modality.TIMESERIES, context_length=CONTEXT, horizon=HORIZON)
    series = _read(file)
    deviations = series[:, : 12 * _MONTH_HOURS].std(axis=1)
    return TaskData(
        route="timeseries/forecast",
        family=TaskFamily.FORECASTING,
        preprocess=spec,
        splits={
            part: windows(series, deviations, *(month * _MONTH_HOURS for month in months))
            for part, months in _PARTS.items()
        },
        metric="mse",
        test_name="ETTh1 test (months 17-20)",
        sources=(
            DataSource(
                name="ETTh1 (ETDataset)",
                licence="CC BY-ND 4.0",
                source="github.com/zhouhaoyi/ETDataset",
            ),
        ),
        horizon=HORIZON,
        description="The next 96 values of an hourly series from its last 336; trained on "
        "the loads and the oil temperature of electricity transformers.",
    )


def windows(series: Array, deviations: Array, start: int, stop: int) -> Split:
    """Return every window whose forecast lies in hours ``start`` to ``stop``.

    Args:
        series: The channels, float32 [channels, hours].
        deviations: The scale of each channel's errors, float32 [channels].
        start: The first hour of the part; contexts may begin before it.
        stop: The hour after the part's last.

    Returns:
        samples by channel, then by time.
    """
    first = max(start - CONTEXT, 0)
    count = stop - HORIZON - CONTEXT - first + 1

    def at(index: int) -> tuple[Array, int]:
        channel, offset = divmod(index, count)
        return series[channel], first + offset

    def values(index: int) -> Sample:
        row, begin = at(index)
        return {"values": row[begin : begin + CONTEXT]}

    def future(index: int) -> Array:
        row, begin = at(index)
        return row[begin + CONTEXT : begin + CONTEXT + HORIZON]

    total = count * len(series)
    return Split(
        LazySequence(total, values),
        LazySequence(total, future),
        scales=np.repeat(deviations, count).astype(np.float32),
    )


def _read(file: Path) -> Array:
    """Read float32 [channels, hours] of all columns but the date."""
    with gzip.open(file, "rt", newline="") as lines:
        rows = [row[1:] for row in list(csv.reader(lines))[1:]]
    return np.ascontiguousarray(np.array(rows, dtype=np.float32).T)


TASKS: dict[str, Loader] = {"timeseries/forecast": load_etth1}
