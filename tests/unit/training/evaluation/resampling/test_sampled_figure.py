"""Intervals by the percentile bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from omnivec2.training.evaluation.resampling.sampled_figure import SampledFigure, mean_figure


def test_the_interval_of_a_share_is_as_wide_as_its_standard_error_says() -> None:
    values = (np.arange(400) < 300).astype(float)
    interval = mean_figure(values).interval()
    assert interval is not None
    low, high = interval
    error = np.sqrt(0.75 * 0.25 / 400)
    assert low == pytest.approx(0.75 - 1.96 * error, abs=0.01)
    assert high == pytest.approx(0.75 + 1.96 * error, abs=0.01)
    assert mean_figure(values).interval() == interval  # the same draws in every run


def test_samples_of_a_block_are_drawn_together() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=40), 10)
    single = mean_figure(values).interval()
    block = SampledFigure(400, lambda rows: float(values[rows].mean()), block=10).interval()
    assert single is not None
    assert block is not None
    assert block[1] - block[0] > 2 * (single[1] - single[0])


def test_the_last_block_may_be_shorter() -> None:
    drawn: list[int] = []

    def measure(rows: np.ndarray) -> float:
        drawn.extend(rows.tolist())
        return 0.0

    assert SampledFigure(7, measure, block=3).interval(resamples=20) == (0.0, 0.0)
    assert set(drawn) == set(range(7))


def test_figures_that_are_undefined_for_a_draw_are_left_out() -> None:
    values = np.array([np.nan, 1.0, 1.0, 1.0])
    figure = SampledFigure(4, lambda rows: float(values[rows].mean()))
    assert figure.interval() == (1.0, 1.0)
    assert SampledFigure(4, lambda _: float("nan")).interval() is None


def test_one_sample_has_no_interval() -> None:
    assert mean_figure(np.ones(1)).interval() is None
    assert mean_figure(np.ones(1)).value == 1.0
