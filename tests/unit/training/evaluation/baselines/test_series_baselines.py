"""Forecasts that learn nothing."""

from __future__ import annotations

import numpy as np
import pytest

from omnivec2.training.evaluation.baselines.series_baselines import (
    repeat_last,
    repeat_season,
    season_of,
)


def contexts(season: int, length: int = 60) -> np.ndarray:
    rng = np.random.default_rng(0)
    steps = np.arange(length) + rng.integers(0, season, (20, 1))
    return 50 + 9 * np.sin(2 * np.pi * steps / season) + rng.normal(0, 0.5, (20, length))


@pytest.mark.parametrize("season", [7, 12, 24])
def test_the_season_is_found_and_not_one_of_its_multiples(season: int) -> None:
    assert season_of(contexts(season), 24) == season


def test_a_series_without_a_season_is_repeated_from_its_last_value() -> None:
    walk = np.random.default_rng(0).normal(size=(50, 80)).cumsum(axis=1)
    assert season_of(walk, 5) < 5


def test_forecasts_repeat_what_was_last() -> None:
    values = np.tile([1.0, 2.0, 3.0], 6)[None]
    assert repeat_last(values, 4).tolist() == [[3.0, 3.0, 3.0, 3.0]]
    assert repeat_season(values, 7).tolist() == [[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]]
