"""The figures of a run: what was answered, shed and failed, by modality and stage."""

from __future__ import annotations

import pytest

from loadtests.traffic.traffic_profile import Profile

with pytest.MonkeyPatch.context() as patch:
    # Locust would replace sockets and threads of the whole test process.
    patch.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")
    from locust.stats import RequestStats

    from loadtests.traffic.run_summary import POSTED, SHED, STAGE, summarise

PROFILE = Profile.model_validate({"description": "", "shape": {"kind": "constant", "rate": 2}})


@pytest.fixture
def stats() -> RequestStats:
    made = RequestStats()
    for path, times in {
        "/predict/text/mood": (10, 20),
        "/predict/text/topic": (30,),
        "/predict/image/objects": (400,),
    }.items():
        for milliseconds in times:
            made.log_request(POSTED, path, milliseconds, 0)
    made.log_request(SHED, "/predict/text/mood", 1, 0)
    made.log_request(STAGE, "decode", 5, 0)
    made.log_request(STAGE, "decode/text", 7, 0)
    made.log_request(POSTED, "/predict/image/objects", 500, 0)
    made.log_error(POSTED, "/predict/image/objects", "answered 500")
    return made


def test_answered_failed_and_shed_requests_are_counted_apart(stats: RequestStats) -> None:
    summary = summarise(stats, PROFILE, seconds=2.0, expected=8)
    counted = {name: summary[name] for name in ("requests", "answered", "failed", "shed")}
    assert counted == {"requests": 6, "answered": 4, "failed": 1, "shed": 1}
    assert summary["rate"] == 2.0
    assert summary["error_rate"] == summary["shed_rate"] == pytest.approx(1 / 6)
    assert summary["arrivals_held"] == 0.75
    assert summary["errors"] == {"POST /predict/image/objects: answered 500": 1}


def test_a_modality_is_the_sum_of_its_heads(stats: RequestStats) -> None:
    modalities = summarise(stats, PROFILE, seconds=2.0, expected=0)["modalities"]
    assert list(modalities) == ["image", "text"]
    assert (modalities["text"]["count"], modalities["text"]["shed"]) == (3, 1)
    assert modalities["text"]["p99_ms"] == 30
    assert modalities["image"]["p50_ms"] >= 400


def test_stages_of_all_heads_together_are_shown(stats: RequestStats) -> None:
    stages = summarise(stats, PROFILE, seconds=2.0, expected=0)["stages"]
    assert list(stages) == ["decode"]
    assert stages["decode"]["p50_ms"] == 5


def test_a_run_that_sent_nothing_counts_as_failed() -> None:
    summary = summarise(RequestStats(), PROFILE, seconds=0.0, expected=0)
    assert (summary["rate"], summary["error_rate"], summary["arrivals_held"]) == (0.0, 1.0, None)
    assert summary["p99_ms"] == 0.0
