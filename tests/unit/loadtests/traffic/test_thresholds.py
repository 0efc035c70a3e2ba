from __future__ import annotations

from typing import Any

import pytest

from loadtests.traffic.thresholds import broken_thresholds
from loadtests.traffic.traffic_profile import Profile

GOOD: dict[str, Any] = {
    "answered": 100,
    "error_rate": 0.0,
    "shed_rate": 0.0,
    "p99_ms": 100.0,
    "rate": 10.0,
    "arrivals_held": 1.0,
    "modalities": {"text": {"p99_ms": 80.0}},
}


def profile(**thresholds: Any) -> Profile:
    shape = {"kind": "constant", "rate": 10}
    return Profile.model_validate({"description": "", "shape": shape, "thresholds": thresholds})


LIMITS = profile(
    p99_ms=100, rate=10, arrivals_held=0.9, shed_rate=0.1, p99_ms_by_modality={"text": 90}
)


def test_a_run_at_its_limits_passes() -> None:
    assert broken_thresholds(GOOD, LIMITS) == []


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        ({"error_rate": 0.01}, "error_rate: 0.01, at most 0 is allowed"),
        ({"shed_rate": 0.2}, "shed_rate: 0.2, at most 0.1 is allowed, 2.0 times as much"),
        ({"p99_ms": 250.0}, "p99_ms: 250, at most 100 is allowed, 2.5 times as much"),
        ({"rate": 9.0}, "rate: 9, at least 10 is expected"),
        ({"arrivals_held": 0.5}, "arrivals_held: 0.5, at least 0.9 is expected"),
        ({"answered": 0}, "answered: no request was answered"),
        (
            {"modalities": {"text": {"p99_ms": 180.0}}},
            "p99_ms of text: 180, at most 90 is allowed, 2.0 times as much",
        ),
        ({"modalities": {}}, "p99_ms of text: no request was sent"),
    ],
)
def test_a_broken_threshold_is_told_with_what_was_seen(seen: dict[str, Any], message: str) -> None:
    assert broken_thresholds({**GOOD, **seen}, LIMITS) == [message]


def test_a_run_is_compared_with_an_earlier_one() -> None:
    limits = profile(against_baseline={"p99_ratio": 2, "rate_ratio": 0.7})
    slower = {**GOOD, "p99_ms": 201.0, "rate": 6.9}
    assert broken_thresholds(GOOD, limits, GOOD) == []
    assert broken_thresholds(slower, limits, GOOD) == [
        "p99_ms against the baseline: 201, at most 200 is allowed, 1.0 times as much",
        "rate against the baseline: 6.9, at least 7 is expected",
    ]
