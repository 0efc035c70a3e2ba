"""Compare a run with the thresholds of its profile."""

from __future__ import annotations

from typing import Any

from loadtests.traffic.traffic_profile import AgainstBaseline, Profile

Summary = dict[str, Any]


def broken_thresholds(
    summary: Summary, profile: Profile, baseline: Summary | None = None
) -> list[str]:
    """Return a message for every threshold that a run breaks, with the figures.

    Args:
        summary: The summary of the run.
        profile: The profile of the run.
        baseline: The summary of an earlier run, if this one is compared with it.
    """
    limits = profile.thresholds
    messages = [] if summary["answered"] else ["answered: no request was answered"]
    ceilings = {
        "error_rate": limits.error_rate,
        "shed_rate": limits.shed_rate,
        "p99_ms": limits.p99_ms,
    }
    floors = {"rate": limits.rate, "arrivals_held": limits.arrivals_held}
    messages += [_check_ceiling(name, summary[name], most) for name, most in ceilings.items()]
    messages += [_check_floor(name, summary[name], least) for name, least in floors.items()]
    for modality, most in limits.p99_ms_by_modality.items():
        seen = summary["modalities"].get(modality)
        messages.append(
            _check_ceiling(f"p99_ms of {modality}", seen["p99_ms"], most)
            if seen
            else f"p99_ms of {modality}: no request was sent"
        )
    if baseline is not None:
        messages += _compare_with_baseline(summary, baseline, limits.against_baseline)
    return [message for message in messages if message]


def _compare_with_baseline(
    summary: Summary, baseline: Summary, allowed: AgainstBaseline
) -> list[str]:
    most = baseline["p99_ms"] * allowed.p99_ratio
    least = baseline["rate"] * allowed.rate_ratio
    return [
        _check_ceiling("p99_ms against the baseline", summary["p99_ms"], most),
        _check_floor("rate against the baseline", summary["rate"], least),
    ]


def _check_ceiling(name: str, seen: float, most: float | None) -> str:
    if most is None or seen <= most:
        return ""
    times = f", {seen / most:.1f} times as much" if most else ""
    return f"{name}: {seen:.4g}, at most {most:.4g} is allowed{times}"


def _check_floor(name: str, seen: float | None, least: float | None) -> str:
    if least is None or seen is None or seen >= least:
        return ""
    return f"{name}: {seen:.4g}, at least {least:.4g} is expected"
