"""Forecasts that learn nothing: the last value repeated, and the last season repeated."""

from __future__ import annotations

import numpy as np

from omnivec2.preprocess import Array

NAIVE, SEASONAL = "naive", "seasonal"
"""The names of these forecasts beside others."""

_MOST_CONTEXTS = 200
"""Contexts that the length of a season is found in, evenly chosen."""

_CLEARLY = 0.9
"""The share of a shorter season's error that a longer one must stay below: it may be a multiple."""


def repeat_last(contexts: Array, horizon: int) -> Array:
    """Return the last value of every context, [n, horizon].

    Args:
        contexts: The values before each forecast, [n, context].
        horizon: The number of steps.
    """
    return np.repeat(contexts[:, -1:], horizon, axis=1)


def repeat_season(contexts: Array, horizon: int) -> Array:
    """Return the last season of every context, as often as it fits into the horizon.

    Args:
        contexts: The values before each forecast, [n, context].
        horizon: The number of steps.
    """
    return _repeated(contexts, season_of(contexts, horizon), horizon)


def season_of(contexts: Array, horizon: int) -> int:
    """Return the length of the season that forecasts the ends of contexts best when repeated.

    What follows a context is not looked at.

    Args:
        contexts: The values of several contexts, [n, context].
        horizon: The number of steps that are forecast.
    """
    rows = np.linspace(0, len(contexts) - 1, min(len(contexts), _MOST_CONTEXTS)).round()
    some = contexts[rows.astype(np.int64)]
    some = (some - some.mean(axis=1, keepdims=True)) / (some.std(axis=1, keepdims=True) + 1e-12)
    steps = min(horizon, some.shape[1] // 2)
    known, wanted = some[:, :-steps], some[:, -steps:]
    best, least = 1, np.inf
    for season in range(1, known.shape[1] + 1):
        error = float(np.square(_repeated(known, season, steps) - wanted).mean())
        if error < _CLEARLY * least:
            best, least = season, error
    return best


def _repeated(contexts: Array, season: int, horizon: int) -> Array:
    return np.asarray(contexts[:, -season:][:, np.arange(horizon) % season])
