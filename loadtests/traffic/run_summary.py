"""The summary of a run: Locust's rows, merged by modality and stage."""

from __future__ import annotations

from locust.stats import RequestStats, StatsEntry

from loadtests.traffic.thresholds import Summary
from loadtests.traffic.traffic_profile import Profile

POSTED, SHED, STAGE = "POST", "429", "stage"
"""Kinds of rows in the reports: answered 200 or failed; answered 429; a stage of answers."""


def summarise(stats: RequestStats, profile: Profile, seconds: float, expected: float) -> Summary:
    """Compute the figures of a run.

    Args:
        stats: The statistics of all users together.
        profile: The profile of the run.
        seconds: The length of the run.
        expected: The number of arrivals of an open shape; 0 for a closed one.
    """
    modalities = {name.split("/")[2] for name, kind in stats.entries if kind == POSTED}
    posted, shed = _merged(stats, POSTED), _merged(stats, SHED)
    total = posted.num_requests + shed.num_requests
    answered = posted.num_requests - posted.num_failures
    return {
        "requests": total,
        "answered": answered,
        "failed": posted.num_failures,
        "shed": shed.num_requests,
        "seconds": round(seconds, 1),
        "rate": round(answered / seconds, 2) if seconds else 0.0,
        "error_rate": posted.num_failures / total if total else 1.0,
        "shed_rate": shed.num_requests / total if total else 0.0,
        "arrivals_held": round(total / expected, 3) if expected else None,
        **_latencies(posted),
        "modalities": {
            name: _latencies(_merged(stats, POSTED, f"/predict/{name}/"))
            | {"shed": _shed(stats, name)}
            for name in sorted(modalities)
        },
        "stages": {
            name: _latencies(entry)
            for (name, kind), entry in sorted(stats.entries.items())
            if kind == STAGE and "/" not in name
        },
        "errors": {
            f"{error.method} {error.name}: {error.error}": error.occurrences
            for error in stats.errors.values()
        },
        "profile": profile.model_dump(mode="json"),
    }


def _merged(stats: RequestStats, kind: str, prefix: str = "") -> StatsEntry:
    whole = StatsEntry(stats, prefix or "all", kind)
    for (name, method), entry in stats.entries.items():
        if method == kind and name.startswith(prefix):
            whole.extend(entry)
    return whole


def _shed(stats: RequestStats, modality: str) -> int:
    return _merged(stats, SHED, f"/predict/{modality}/").num_requests


def _latencies(entry: StatsEntry) -> dict[str, float]:
    figures: dict[str, float] = {"count": entry.num_requests}
    for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
        measured = entry.get_response_time_percentile(share) if entry.num_requests else 0.0
        figures[name] = float(measured)
    return figures
