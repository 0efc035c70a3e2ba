"""Which thresholds of a profile a run broke, by how much."""

from __future__ import annotations

from typing import Any

from loadtests.traffic.traffic_profile import AgainstBaseline, Profile

Summary = dict[str, Any]


def broken(summary: Summary, profile: Profile, baseline: Summary | None = None) -> list[str]:
    """A message for every threshold that does not hold, with what was seen and what is allowed."""
    limits = profile.thresholds
    messages = [] if summary["answered"] else ["answered: nothing was answered"]
    ceilings = {
        "error_rate": limits.error_rate,
        "shed_rate": limits.shed_rate,
        "p99_ms": limits.p99_ms,
    }
    floors = {"rate": limits.rate, "arrivals_held": limits.arrivals_held}
    messages += [_over(name, summary[name], most) for name, most in ceilings.items()]
    messages += [_under(name, summary[name], least) for name, least in floors.items()]
    for modality, most in limits.p99_ms_by_modality.items():
        seen = summary["modalities"].get(modality)
        messages.append(
            _over(f"p99_ms of {modality}", seen["p99_ms"], most)
            if seen
            else f"p99_ms of {modality}: it was never asked"
        )
    if baseline is not None:
        messages += _against(summary, baseline, limits.against_baseline)
    return [message for message in messages if message]


def _against(summary: Summary, baseline: Summary, allowed: AgainstBaseline) -> list[str]:
    most = baseline["p99_ms"] * allowed.p99_ratio
    least = baseline["rate"] * allowed.rate_ratio
    return [
        _over("p99_ms against the baseline", summary["p99_ms"], most),
        _under("rate against the baseline", summary["rate"], least),
    ]


def _over(name: str, seen: float, most: float | None) -> str:
    if most is None or seen <= most:
        return ""
    times = f", {seen / most:.1f} times as much" if most else ""
    return f"{name}: {seen:.4g}, at most {most:.4g} is allowed{times}"


def _under(name: str, seen: float | None, least: float | None) -> str:
    if least is None or seen is None or seen >= least:
        return ""
    return f"{name}: {seen:.4g}, at least {least:.4g} is expected"
