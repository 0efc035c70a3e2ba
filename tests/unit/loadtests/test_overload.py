from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from loadtests.overload import promises

ALLOWED = Namespace(
    factor=10.0, at_least=0.9, late_share=0.0, health_ms=100.0, health_share=1.0, memory_ratio=1.15,
    normal_within=5.0,
)  # fmt: skip
KEPT: dict[str, Any] = {
    "sustained_per_second": 50.0,
    "sent_per_second": 500.0,
    "in_time_per_second": 46.0,
    "statuses": {"200": 2800, "429": 27_200},
    "refused_without_retry_after": 0,
    "health_ms": {"max": 60.0, "share_in_time": 1.0},
    "memory_mb": {"start": 600, "most": 700, "end": 610},
    "normal_again_seconds": 1.0,
}


def failing(**seen: Any) -> list[str]:
    return [check["name"] for check in promises({**KEPT, **seen}, ALLOWED) if not check["ok"]]


def test_what_is_promised_is_kept() -> None:
    assert failing() == []


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        ({"sent_per_second": 300.0}, "load that arrived"),
        ({"in_time_per_second": 44.0}, "answered in time"),
        ({"statuses": {"200": 1, "504": 1}}, "admitted, but late (504)"),
        ({"statuses": {"200": 1, "503": 1}}, "neither 200, 429 nor 504"),
        ({"statuses": {"0": 1, "200": 1}}, "neither 200, 429 nor 504"),
        ({"refused_without_retry_after": 1}, "429 without Retry-After"),
        ({"health_ms": {"max": 120.0, "share_in_time": 0.99}}, "/healthz"),
        ({"memory_mb": {"start": 600, "most": 900, "end": 900}}, "memory"),
        ({"normal_again_seconds": 6.0}, "normal again"),
        ({"normal_again_seconds": None}, "normal again"),
    ],
)
def test_a_broken_promise_is_told(seen: dict[str, Any], name: str) -> None:
    assert failing(**seen) == [name]


def test_the_memory_of_a_process_that_is_not_known_is_not_judged() -> None:
    seen = {**KEPT, "memory_mb": {"start": 0, "most": 0, "end": 0}}
    assert "memory" not in {check["name"] for check in promises(seen, ALLOWED)}
