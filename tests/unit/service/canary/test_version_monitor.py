from __future__ import annotations

from omnivec2.canary.canary_state import CanaryLimits
from service.canary.comparison import Comparison
from service.canary.version_monitor import Cause, VersionMonitor

LIMITS = CanaryLimits(max_error_rate=0.1, max_latency_ratio=2.0, max_disagreement=0.2)


def test_few_failures_end_nothing_and_many_do() -> None:
    monitor = VersionMonitor(LIMITS)
    monitor.record_failure("odd")
    monitor.record_failure("odd")
    assert monitor.verdict() is None
    monitor.record_failure("gone")
    verdict = monitor.verdict()
    assert verdict is not None
    assert verdict.cause is Cause.ERRORS
    assert "failed 3 of the last 3 requests" in verdict.reason
    assert verdict.reason.endswith("gone")


def test_failures_within_the_limit_end_nothing() -> None:
    monitor = VersionMonitor(LIMITS)
    for _ in range(50):
        monitor.record_candidate(None)
    for _ in range(5):
        monitor.record_failure("odd")
    assert monitor.verdict() is None


def test_times_count_in_pairs_of_the_same_moments() -> None:
    monitor = VersionMonitor(LIMITS)
    for second in range(500):  # the machine was busy for half of the time
        busy = 1.0 if second < 250 else 0.1
        monitor.record_served(busy * 0.1)
        if second % 5 == 0:
            monitor.record_candidate(busy * 0.1)
    assert monitor.verdict() is None


def test_a_slow_version_ends_a_canary_once_both_versions_have_answered_enough() -> None:
    monitor = VersionMonitor(LIMITS)
    for _ in range(49):
        monitor.record_candidate(0.1)
        monitor.record_served(0.02)
    assert monitor.verdict() is None
    monitor.record_candidate(0.1)
    monitor.record_served(0.02)
    verdict = monitor.verdict()
    assert verdict is not None
    assert verdict.cause is Cause.LATENCY
    assert "takes 100.0 ms where the served version takes 20.0 ms" in verdict.reason


def test_milliseconds_of_a_fast_head_are_no_latency() -> None:
    monitor = VersionMonitor(LIMITS)
    for _ in range(60):
        monitor.record_candidate(0.009)
        monitor.record_served(0.001)
    assert monitor.verdict() is None


def test_answers_that_differ_too_often_end_a_canary_and_name_the_labels() -> None:
    monitor = VersionMonitor(LIMITS)
    same, other = Comparison(False, 0.0, ("a", "a")), Comparison(True, 1.0, ("a", "b"))
    monitor.record_comparisons([same] * 40 + [other] * 9)
    assert monitor.verdict() is None
    monitor.record_comparisons([other] * 2)
    verdict = monitor.verdict()
    assert verdict is not None
    assert verdict.cause is Cause.DISAGREEMENT
    assert monitor.changes == {("a", "b"): 11}


def test_the_pairs_of_labels_are_bounded() -> None:
    monitor = VersionMonitor(LIMITS)
    monitor.record_comparisons(Comparison(True, 1.0, ("a", str(n))) for n in range(1000))
    assert len(monitor.changes) == 256
