"""Rows of the table of servers."""

from __future__ import annotations

from loadtests.peers.compare import OURS, Measured, server_rows
from loadtests.support.http_load import HttpFigures


def measured(rate: float, one_ms: float) -> Measured:
    return Measured(
        HttpFigures(rate, 1000 / rate, 2000 / rate, 3000 / rate),
        HttpFigures(1000 / one_ms, one_ms, one_ms, one_ms),
    )


def test_ratios_are_taken_within_a_round() -> None:
    rounds = [
        {OURS: measured(200, 5), "A peer": measured(100, 10)},
        {OURS: measured(20, 50), "A peer": measured(8, 100)},  # a slow minute of the machine
        {OURS: measured(300, 4), "A peer": measured(100, 10)},
    ]
    ours, theirs = server_rows(rounds)
    assert ours["server"] == OURS
    assert "rate_ratio" not in ours
    assert theirs["rate"] == {"median": 100, "low": 8, "high": 100}
    assert theirs["rate_ratio"] == {"median": 2.5, "low": 2.0, "high": 3.0}
    assert theirs["one_ratio"] == {"median": 2.0, "low": 2.0, "high": 2.5}
    assert theirs["one_p50_ms"]["median"] == 10
