from __future__ import annotations

import numpy as np
import pytest

from omnivec2.preprocess.formats.tables.times.time_grid import find_grid, lay_on_grid

HOUR, DAY = 3600.0, 86_400.0


def dates(text, count, unit):
    return (np.datetime64(text, unit) + np.arange(count)).astype("datetime64[s]").astype(float)


def test_even_times_have_no_empty_places():
    grid = find_grid(np.arange(10) * HOUR, dated=False)
    assert (grid.kind, grid.empty, grid.length, grid.step) == ("even", 0, 10, "1 hour")


def test_missing_rows_leave_empty_places():
    grid = find_grid(np.delete(np.arange(10) * HOUR, [3, 4]), dated=False)
    assert (grid.kind, grid.empty, grid.length) == ("gaps", 2, 10)
    laid = lay_on_grid(grid, np.arange(8.0)[:, None], 9)[:, 0]
    np.testing.assert_array_equal(laid, [1, 2, np.nan, np.nan, 3, 4, 5, 6, 7])


@pytest.mark.parametrize(
    ("times", "step"),
    [
        (dates("2020-01", 30, "M"), "1 month"),
        (dates("2020-01", 30, "M")[::3], "91 days"),
        (dates("1990", 12, "Y"), "365 days"),
        (dates("2020-02", 30, "M") - DAY, "1 month"),
    ],
)
def test_months_are_even_steps(times, step):
    grid = find_grid(times, dated=True)
    assert (grid.kind, grid.step) == ("even", step)
    assert grid.empty == 0


def test_a_missing_month_is_a_gap():
    assert find_grid(np.delete(dates("2020-01", 30, "M"), 7), dated=True).empty == 1


def test_weekends_are_no_gaps_of_working_days():
    days = np.busday_offset("2024-01-01", np.arange(40), roll="forward")
    times = days.astype("datetime64[s]").astype(float)
    grid = find_grid(times, dated=True)
    assert (grid.kind, grid.step) == ("even", "1 working day")
    assert find_grid(np.delete(times, 11), dated=True).empty == 1


def test_the_hour_of_summer_time_is_no_gap():
    times = np.arange(40) * DAY
    times[20:] -= HOUR
    assert find_grid(times, dated=True).kind == "even"


def test_rows_beside_the_grid_are_interpolated():
    rng = np.random.default_rng(0)
    times = np.arange(50) * HOUR + rng.uniform(-900, 900, 50)
    times[-1] = 49 * HOUR
    grid = find_grid(times, dated=False)
    assert (grid.kind, grid.step) == ("irregular", "1 hour")
    laid = lay_on_grid(grid, times[:, None], 40)[:, 0]
    assert laid == pytest.approx(np.arange(10, 50) * HOUR)


def test_long_pauses_are_missing():
    times = np.concatenate((np.arange(20) * 1.0, 40 + np.arange(20) * 1.3))
    grid = find_grid(times, dated=False)
    laid = lay_on_grid(grid, np.ones((40, 1)), 1000)
    assert grid.kind == "irregular"
    assert np.isnan(laid).sum() > 10
    assert np.isfinite(laid[[0, -1]]).all()


def test_one_and_two_rows_are_even():
    assert find_grid(np.array([5.0]), dated=True).length == 1
    assert find_grid(np.array([5.0, 9.0]), dated=True).length == 2


def test_a_huge_gap_costs_nothing():
    grid = find_grid(np.array([0, 1, 2, 3, 1e12]), dated=False)
    assert lay_on_grid(grid, np.ones((5, 1)), 8).shape == (8, 1)


def test_columns_without_values_stay_missing():
    grid = find_grid(np.array([0, 1, 2.5, 3, 4.2]), dated=False)
    assert np.isnan(lay_on_grid(grid, np.full((5, 1), np.nan), 4)).all()
