"""The table of ``omnivec2 head status``, and the figures of gateways that it shows."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from pydantic import JsonValue
from rich.table import Table

from omnivec2.canary.canary_state import Canary
from omnivec2.errors import ModelNotReadyError, OmniVecError
from service.http.gateway_client import gateway_address
from service.observability.canary_metrics import figures_of_exposition

_TIMEOUT_SECONDS = 10.0

Figures = Mapping[str, Mapping[str, float]]
"""The version -> figure -> its value; see ``figures_of_exposition``."""


def read_figures(addresses: Sequence[str], route: str) -> Figures:
    """Return what the versions of a head with a canary did, summed over gateways.

    Args:
        addresses: The addresses of the gateways, or of the ports of their metrics.
        route: The head, as ``<modality>/<task>``.

    Raises:
        OmniVecError: A gateway does not answer with metrics.
    """
    total: dict[str, dict[str, float]] = {}
    for address in addresses:
        for version, figures in figures_of_exposition(_scrape(address), route).items():
            sums = total.setdefault(version, {})
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + value
    return total


def canary_rows(canary: Canary, served: str, figures: Figures) -> list[dict[str, JsonValue]]:
    """Return a row of JSON values for each version of a head: the served one, then the other.

    Args:
        canary: The canary of the head.
        served: The version that is served.
        figures: The figures of the versions; empty if no gateway was asked.
    """
    candidate = str(canary.version)
    return [
        _row(version, role, figures.get(version, {}), asked=bool(figures))
        for version, role in ((served, "served"), (candidate, canary.status.value))
        if version != served or role == "served"
    ]


def describe_canary(canary: Canary) -> list[str]:
    """Return lines about a canary: what it gets, and how it ended."""
    shadow = ", compared in the shadow of others" if canary.shadow else ""
    first = f"{canary.route}: version {canary.version} for {canary.share:g} % of callers{shadow}"
    ended = canary.status.value.replace("_", " ")
    if canary.ended is not None:
        ended += f" at {canary.ended:%Y-%m-%d %H:%M:%S} UTC by {canary.by}"
    return [first, f"{ended}: {canary.reason}" if canary.reason else ended]


def canary_table(rows: Sequence[Mapping[str, JsonValue]]) -> Table:
    """Return a table with a row per version of a head."""
    table = Table()
    columns = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    for column in columns:
        table.add_column(column, justify="left" if column in ("version", "role") else "right")
    for row in rows:
        table.add_row(*(_shown(row[column]) for column in columns))
    return table


def _row(
    version: str, role: str, figures: Mapping[str, float], *, asked: bool
) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = {"version": version, "role": role}
    count = {name: figures.get(name, 0.0) for name in ("answered", "failed", "dropped")}
    compared = figures.get("same", 0.0) + figures.get("different", 0.0)
    row |= {name: int(value) if asked else None for name, value in count.items()}
    row["mean ms"] = _ratio(1000 * figures.get("seconds", 0.0), figures.get("timed", 0.0))
    row["compared"] = int(compared) if compared else None
    row["different"] = _ratio(figures.get("different", 0.0), compared)
    row["mean distance"] = _ratio(figures.get("distance", 0.0), figures.get("compared", 0.0))
    return row


def _ratio(value: float, count: float) -> float | None:
    return round(value / count, 4) if count else None


def _shown(value: JsonValue) -> str:
    return "-" if value is None else str(value)


def _scrape(address: str) -> str:
    url = f"{gateway_address(address)}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        raise OmniVecError(
            f"{url} answers HTTP {error.code}; if the metrics have a port of their own, name that"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelNotReadyError(f"{url} does not answer ({error}); does it run?") from error
