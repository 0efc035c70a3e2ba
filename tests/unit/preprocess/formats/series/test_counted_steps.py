"""A column that numbers the steps of each series is their time, and no series of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from omnivec2.preprocess import Array
from omnivec2.preprocess.formats.series.counted_steps import find_counted_times
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.notes import NoteCode, collect_notes

LENGTHS = (20, 31, 12)
UNITS = np.repeat([1.0, 2.0, 3.0], LENGTHS)
CYCLES = np.concatenate([np.arange(1.0, length + 1) for length in LENGTHS])
VALUES = np.random.default_rng(0).normal(size=sum(LENGTHS))
BY_CYCLE = np.argsort(CYCLES, kind="stable")
"""The order of rows in which the units take turns."""


def found_in(table: Mapping[str, Sequence[object] | Array]) -> str | None:
    axis = find_counted_times(Frame.of(table))
    return None if axis is None else axis.columns[0]


@pytest.mark.parametrize("order", [np.arange(sum(LENGTHS)), BY_CYCLE], ids=["blocks", "turns"])
@pytest.mark.parametrize(
    "units", [UNITS, [f"engine {unit:.0f}" for unit in UNITS]], ids=["numbers", "texts"]
)
@pytest.mark.parametrize("first", [0, 1])
def test_the_column_that_counts_within_each_value_of_another_is_the_time(
    units: Sequence[object], first: int, order: Array
) -> None:
    columns = {"unit": units, "cycle": CYCLES - 1 + first, "pressure": VALUES}
    table = {name: np.asarray(column)[order].tolist() for name, column in columns.items()}
    with collect_notes() as notes:
        assert found_in(table) == "cycle"
    (said,) = notes
    assert said.code == NoteCode.GUESSED
    assert "'unit'" in said.text


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(
            {"sold": CYCLES, "bought": UNITS[::-1], "y": VALUES}, id="not within the other"
        ),
        pytest.param({"day": UNITS, "hour": CYCLES, "y": VALUES}, id="hours of days"),
        pytest.param({"unit": UNITS, "cycle": CYCLES + 0.5, "y": VALUES}, id="halves"),
        pytest.param({"unit": UNITS, "cycle": CYCLES + 7, "y": VALUES}, id="from eight on"),
        pytest.param(
            {"shop": [1] * 3 + [2] * 3, "place": [0, 1, 2] * 2, "y": [1.5] * 6}, id="a few rows"
        ),
        pytest.param({"cycle": np.arange(40.0), "y": np.arange(40.0)}, id="one series"),
        pytest.param(
            {"unit": UNITS, "cycle": [*CYCLES[:-1], np.nan], "y": VALUES}, id="a step is missing"
        ),
    ],
)
def test_other_columns_are_left_to_be_values(table: Mapping[str, Array]) -> None:
    with collect_notes() as notes:
        assert found_in(table) is None
    assert not notes


def test_columns_without_names_say_nothing() -> None:
    frame = Frame({"0": UNITS, "1": CYCLES, "2": VALUES}, named=False)
    assert find_counted_times(frame) is None
