"""Tables of the service's speed beside other servers and bare loops, from loadtests' reports."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from docs.measured import table

REPORTS = Path(__file__).resolve().parents[1] / "loadtests" / "reports"


def peers(directory: Path = REPORTS) -> str:
    """Return a table of the servers and one of the bare loops, per kind of hardware.

    Args:
        directory: The directory of the reports; of each hardware the newest counts.
    """
    newest: dict[str, Path] = {}
    for path in sorted(directory.glob("peers_*.json"), key=lambda path: path.stem.split("_")[-1]):
        newest[path.stem.split("_")[1]] = path
    if not newest:
        return "No report of a quiet machine is in loadtests/reports yet."
    return "\n\n".join(_section(json.loads(path.read_text()), path) for path in newest.values())


def _section(report: Mapping[str, Any], path: Path) -> str:
    _, hardware, day = path.stem.split("_")
    versions = {**report["versions"], **report["peers"]}
    named = ", ".join(f"{name} {release}" for name, release in versions.items())
    engine = f" with {report['engine']}" if report["engine"] else ""
    parts = [
        f"**{hardware.replace('-', ' ')}**, {day}: `{report['route']}`{engine}, one JPEG; medians "
        f"of {report['rounds']} rounds, in brackets their range.",
        table(
            [
                "server",
                f"answers/s, {report['clients']} clients",
                "median / 99th, ms",
                "ours / theirs",
                "one client: median, ms",
                "theirs / ours",
            ],
            (_server(row) for row in report["servers"]),
        ),
    ]
    if report["loops"]:
        parts.append(_loops(report["loops"], report["clients"]))
    load = report["load_average_at_the_end"]
    parts.append(f"Versions: {named}. Load average at the end: {load} ([report]({_link(path)})).")
    return "\n\n".join(parts)


def _link(path: Path) -> str:
    return f"loadtests/reports/{path.name}"


def _server(row: Mapping[str, Any]) -> list[str]:
    rate, ratio, one = row["rate"], row.get("rate_ratio"), row.get("one_ratio")
    name = row["server"] if ratio else f"**{row['server']}**"
    return [
        name,
        _number(rate),
        f"{row['p50_ms']['median']:.3g} / {row['p99_ms']['median']:.3g}",
        _with_range(ratio) if ratio else "",
        _number(row["one_p50_ms"]),
        _with_range(one) if one else "",
    ]


def _loops(rows: Iterable[Mapping[str, Any]], clients: int) -> str:
    return table(
        [
            "head",
            f"answers/s, {clients} clients",
            "bare loop, samples/s",
            "share",
            "one client: median, ms",
            "bare loop, ms",
            "share",
            "bare loop",
        ],
        (
            [
                f"`{row['route']}`",
                _number(row["service_rate"]),
                _number(row["loop_rate"]),
                _with_range(row["many"]),
                _number(row["service_ms"]),
                _number(row["loop_ms"]),
                _with_range(row["one"]),
                row["loop"],
            ]
            for row in rows
        ),
    )


def _number(values: Mapping[str, float]) -> str:
    return f"{values['median']:,.0f}" if values["median"] >= 100 else f"{values['median']:.3g}"


def _with_range(values: Mapping[str, float]) -> str:
    return f"{values['median']:.2f} ({values['low']:.2f}–{values['high']:.2f})"
