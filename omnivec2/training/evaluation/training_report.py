"""The report of a run: results and answers of every head, the fusion gap, and the losses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omnivec2.atomic_files import write_file
from omnivec2.training.evaluation.all_heads.head_tests import HeadAnswers
from omnivec2.training.evaluation.evaluation_report import write_json
from omnivec2.training.evaluation.fusion_gap_table import Gap, gaps_markdown
from omnivec2.training.evaluation.metrics.head_result import HeadResult
from omnivec2.training.journal import LOG_FILE
from omnivec2.training.pictures.head_pages import show_head
from omnivec2.training.pictures.loss_curves import Curves, draw_curves

REPORT_FILE, JSON_FILE, CURVES_FILE = "report.md", "report.json", "curves.svg"
PICTURES = "pictures"


class Report:
    """A report on a network, with pictures.

    Args:
        folder: The directory to write to. If it is a run's directory, its log gives the losses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._heads: dict[str, dict[str, list[str]]] = {}

    def add_answers(self, measured: HeadAnswers) -> None:
        """Draw a head's answers; each further test of the head gets a folder of its own."""
        tests = self._heads.setdefault(measured.task.route, {})
        folder = f"{PICTURES}-{len(tests) + 1}" if tests else PICTURES
        tests[measured.task.test_name] = show_head(measured, self.folder / folder)

    def write(self, results: Sequence[HeadResult], gaps: Sequence[Gap] = ()) -> Path:
        """Write ``report.md`` and ``report.json``, and ``curves.svg`` if there is a log.

        Returns:
            The path of ``report.md``.
        """
        write_json(results, self.folder / JSON_FILE, gaps)
        lines = ["# Report", "", "## Figures", "", *_figures(results)]
        if gaps:
            lines += ["", "## With cross-attention (m = 1) and without (m = 0)", ""]
            lines += gaps_markdown(gaps)
        log = self.folder / LOG_FILE
        if log.is_file():
            curves = read_curves(log)
            draw_curves(self.folder / CURVES_FILE, curves)
            lines += ["", "## Losses", "", *_losses(curves)]
        for route, tests in self._heads.items():
            for test, shown in tests.items():
                lines += ["", f"## {route}: {test}", "", *shown]
        write_file(self.folder / REPORT_FILE, ("\n".join(lines) + "\n").encode())
        return self.folder / REPORT_FILE


def _figures(results: Sequence[HeadResult]) -> list[str]:
    lines = ["| head | data | split | n | metric | simple models | this network | gain |"]
    lines += ["| --- | --- | --- | ---: | --- | ---: | ---: | ---: |"]
    for result in results:
        simple = ", ".join(f"{name} {value:.3f}" for name, value in result.baselines.items())
        lines.append(
            f"| `{result.route}` | {result.dataset} | {result.split} | {result.samples:,} "
            f"| {result.metric} | {simple} | **{result.value:.3f}** | {result.gain_text} |"
        )
    return lines


def _losses(curves: Curves) -> list[str]:
    lines = [f"![loss of every task and stage]({CURVES_FILE})", ""]
    lines += ["| stage | task | steps | first | last |", "| --- | --- | ---: | ---: | ---: |"]
    for (stage, route), losses in curves.items():
        first, last = np.mean(losses[:10]), np.mean(losses[-10:])
        lines.append(f"| {stage} | `{route}` | {len(losses):,} | {first:.3f} | {last:.3f} |")
    return lines


def read_curves(log: Path) -> dict[tuple[str, str], list[float]]:
    """Read the losses of every task in every stage from the run's log."""
    curves: dict[tuple[str, str], list[float]] = {}
    for line in log.read_text().splitlines():
        row = json.loads(line)
        for name, value in row.items():
            if "/" in name:
                curves.setdefault((row["stage"], name), []).append(value)
    return curves
