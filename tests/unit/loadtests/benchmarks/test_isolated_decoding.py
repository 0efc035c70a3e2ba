"""Isolated decoding is compared round by round."""

from __future__ import annotations

import pytest

from loadtests.benchmarks.isolated_decoding import Measured, ratio


def test_the_ratio_is_the_median_over_rounds() -> None:
    within = Measured(rate=100.0, p50_ms=10.0, processor_ms=6.0)
    rounds = [(Measured(rate, 11.0, 6.3), within) for rate in (50.0, 96.0, 98.0)]
    assert ratio(rounds, "rate") == pytest.approx(0.96)
    assert ratio(rounds, "processor_ms") == pytest.approx(1.05)
