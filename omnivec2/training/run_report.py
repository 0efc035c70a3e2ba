"""The report of a run: figures of every head, and curves of every task's loss."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from omnivec2.atomic import write_file
from omnivec2.training.evaluation import HeadResult
from omnivec2.training.journal import LOG_FILE
from omnivec2.training.report import write_json

REPORT_FILE, JSON_FILE, CURVES_FILE = "report.md", "report.json", "curves.svg"
_WIDTH, _HEIGHT, _MARGIN, _COLUMNS = 240, 120, 28, 4
_POINTS = 80
_MEMORY = 0.9

Curves = Mapping[tuple[str, str], Sequence[float]]
"""(stage, route) -> its losses, step by step."""


def write_run_report(run: Path, results: Sequence[HeadResult]) -> Path:
    """Write ``report.md``, ``report.json`` and ``curves.svg`` into a run's directory.

    Returns:
        the path of ``report.md``.
    """
    curves = read_curves(run / LOG_FILE)
    write_json(results, run / JSON_FILE)
    write_file(run / CURVES_FILE, draw(curves).encode())
    lines = ["# Report", "", "## Figures on the test parts", ""]
    lines += ["| head | test set | n | metric | simple models | this network | gain |"]
    lines += ["| --- | --- | ---: | --- | --- | ---: | ---: |"]
    for result in results:
        simple = ", ".join(f"{name} {value:.3f}" for name, value in result.baselines.items())
        lines.append(
            f"| `{result.route}` | {result.dataset} | {result.samples:,} | {result.metric} "
            f"| {simple} | **{result.value:.3f}** | {result.gain:+.3f} |"
        )
    lines += ["", "## Losses", "", f"![loss of every task and stage]({CURVES_FILE})", ""]
    lines += ["| stage | task | steps | first | last |", "| --- | --- | ---: | ---: | ---: |"]
    for (stage, route), losses in curves.items():
        first, last = np.mean(losses[:10]), np.mean(losses[-10:])
        lines.append(f"| {stage} | `{route}` | {len(losses):,} | {first:.3f} | {last:.3f} |")
    write_file(run / REPORT_FILE, ("\n".join(lines) + "\n").encode())
    return run / REPORT_FILE


def read_curves(log: Path) -> dict[tuple[str, str], list[float]]:
    """Losses of every task in every stage, from the run's log."""
    curves: dict[tuple[str, str], list[float]] = {}
    for line in log.read_text().splitlines():
        row = json.loads(line)
        for name, value in row.items():
            if "/" in name:
                curves.setdefault((row["stage"], name), []).append(value)
    return curves


def draw(curves: Curves) -> str:
    """One small picture per curve: smoothed loss over the steps of its stage, as SVG."""
    rows = -(-len(curves) // _COLUMNS)
    width, height = _COLUMNS * _WIDTH, max(rows, 1) * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for index, ((stage, route), losses) in enumerate(curves.items()):
        x, y = index % _COLUMNS * _WIDTH, index // _COLUMNS * _HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{_plot(f"{stage} {route}", losses)}</g>')
    return "".join([*parts, "</svg>"]) + "\n"


def _plot(title: str, losses: Sequence[float]) -> str:
    """A title, the range of values, and a line from 0 up to the largest."""
    smooth = _smoothed([loss for loss in losses if np.isfinite(loss)] or [0.0])
    top = max(*smooth, 1e-12) if len(smooth) > 1 else max(smooth[0], 1e-12)
    right, floor = _WIDTH - 8, _HEIGHT - 12
    across = np.linspace(_MARGIN, right, len(smooth))
    points = " ".join(
        f"{x:.1f},{floor - (floor - _MARGIN) * y / top:.1f}"
        for x, y in zip(across, smooth, strict=True)
    )
    return (
        f'<text x="4" y="14">{escape(title)}</text>'
        f'<text x="2" y="{_MARGIN + 4}">{top:.2g}</text><text x="2" y="{floor}">0</text>'
        f'<path d="M{_MARGIN},{_MARGIN}V{floor}H{right}" fill="none" stroke="#999"/>'
        f'<polyline points="{points}" fill="none" stroke="#1f5fa8" stroke-width="1.5"/>'
    )


def _smoothed(losses: Sequence[float]) -> list[float]:
    """Moving average, thinned to as many points as can be seen."""
    value, smooth = losses[0], []
    for loss in losses:
        value = _MEMORY * value + (1 - _MEMORY) * loss
        smooth.append(value)
    chosen = np.linspace(0, len(smooth) - 1, min(len(smooth), _POINTS)).round().astype(int)
    return [smooth[int(index)] for index in chosen]
