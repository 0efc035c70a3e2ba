from __future__ import annotations

import numpy as np
import pytest

from omnivec2.preprocess.formats.tables.times.time_numbers import (
    are_evenly_spaced,
    calendar_seconds,
    epoch_unit,
    is_counter,
    name_words,
    named_unit,
    time_name,
)


def test_names_are_split_at_capitals_and_punctuation():
    assert name_words("#SensorTime [ns]") == ["sensor", "time", "ns"]
    assert name_words("unix_ms") == ["unix", "ms"]


@pytest.mark.parametrize(
    "name",
    [
        *("ts", "time", "Date Time", "unix_ms", "SensorTime", "#timestamp [ns]", "sample_time"),
        *("Datum", "Zeitstempel", "recorded at time", "timestamp_utc", "seconds", "t_s", "epoch"),
    ],
)
def test_names_of_times(name):
    assert time_name(name) == "surely"


@pytest.mark.parametrize("name", ["response_time", "t", "when", "hours", "day", "date of birth"])
def test_names_that_may_be_of_times(name):
    assert time_name(name) == "maybe"


@pytest.mark.parametrize("name", ["load", "lifetime", "dates", "dsp", "T [C]", "target", "s"])
def test_other_names(name):
    assert time_name(name) == "no"


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("time_s", "s"),
        ("Time (ms)", "ms"),
        ("timestamp [µs]", "us"),
        ("timeNanos", "ns"),
        ("elapsed minutes", "min"),
        ("seconds", "s"),
        ("time", None),
        ("s", None),
    ],
)
def test_a_name_may_end_with_a_unit(name, unit):
    assert named_unit(name) == unit


@pytest.mark.parametrize(("unit", "size"), [("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)])
def test_epochs_are_told_by_their_size(unit, size):
    assert epoch_unit(np.array([1.0e9, 1.7e9, 3e9]) * size) == unit


def test_other_numbers_are_no_epochs():
    assert epoch_unit(np.array([0.0, 10, 20])) is None
    assert epoch_unit(np.array([1.7e9, 1.7e12])) is None
    assert epoch_unit(np.array([])) is None


@pytest.mark.parametrize(
    ("number", "name", "text"),
    [
        (20241231, "x", "2024-12-31T00:00:00"),
        (202412311330, "x", "2024-12-31T13:30:00"),
        (20241231133005, "x", "2024-12-31T13:30:05"),
        (202412, "date", "2024-12-01T00:00:00"),
        (45657.5, "date", "2024-12-31T12:00:00"),
        (1999, "year", "1999-01-01T00:00:00"),
    ],
)
def test_numbers_that_spell_dates(number, name, text):
    found = calendar_seconds(np.array([float(number)]), name)
    assert found is not None
    assert str(np.datetime64(int(found[0]), "s")) == text


@pytest.mark.parametrize(
    ("number", "name"),
    [(20241399, "date"), (202412, "load"), (45657.5, "load"), (1999, "load"), (202412312590, "x")],
)
def test_numbers_that_spell_no_dates(number, name):
    assert calendar_seconds(np.array([float(number)]), name) is None


def test_counters_count_rows_from_a_small_number():
    assert is_counter(np.arange(5.0))
    assert is_counter(np.arange(5.0) + 1)
    assert not is_counter(np.arange(5.0) + 1.7e12)
    assert not is_counter(np.arange(5.0) * 2)
    assert not is_counter(np.array([0, 1, np.nan]))


def test_even_spacing_allows_gaps_but_not_noise():
    assert are_evenly_spaced(np.array([0, 1, 2, 3, 7, 8, 9.0]))
    assert not are_evenly_spaced(np.random.default_rng(0).normal(size=50))
    assert not are_evenly_spaced(np.array([1.0, 1, 1, 1]))
