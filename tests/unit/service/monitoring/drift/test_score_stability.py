from __future__ import annotations

import numpy as np
import pytest

from service.monitoring.drift.score_stability import ScoreBins

DECILES = [n / 10 for n in range(1, 10)]


def test_scores_of_the_same_kind_are_stable() -> None:
    scores = np.random.default_rng(0).uniform(size=1000).tolist()
    assert ScoreBins(DECILES, 1000).index(scores) < 0.05


def test_other_scores_are_not() -> None:
    low = np.random.default_rng(0).uniform(0, 0.5, 1000).tolist()
    assert ScoreBins(DECILES, 1000).index(low) > 0.25
    assert np.isfinite(ScoreBins(DECILES, 1000).index([0.05]))


def test_deciles_that_are_equal_are_one_bin_of_a_larger_share() -> None:
    sure = ScoreBins([0.5, 0.8, 0.9, 0.99, 1.0, 1.0, 1.0, 1.0, 1.0], 500)
    rng = np.random.default_rng(1)
    same = [*rng.uniform(0.2, 0.5, 100), *rng.uniform(0.5, 0.8, 100), *rng.uniform(0.8, 0.9, 100)]
    same += [*rng.uniform(0.9, 0.99, 100), *[1.0] * 600]
    assert sure.index(same) < 0.05
    assert sure.index([0.6] * 1000) > 0.25


def test_there_are_nine_deciles() -> None:
    with pytest.raises(ValueError, match="expected 9"):
        ScoreBins([0.5], 10)


def test_few_scores_or_few_rows_of_the_reference_raise_the_level() -> None:
    rng = np.random.default_rng(2)
    assert ScoreBins(DECILES, 1000).level(200) == 0.25
    assert ScoreBins(DECILES, 1000).level(40) > 0.5
    few = ScoreBins(DECILES, 32)
    assert few.level(200) > 0.8
    above = 0
    for _ in range(300):  # deciles of so few rows are themselves a guess
        own = ScoreBins(np.quantile(rng.uniform(size=32), DECILES).tolist(), 32)
        above += own.index(rng.uniform(size=200).tolist()) > few.level(200)
    assert above <= 6
