"""Progress of an adaptation in a log."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from omnivec2.training.adaptation import progress_report as module
from omnivec2.training.adaptation.progress_report import progress_report


def test_a_step_prints_a_line_without_a_terminal_when_it_is_done() -> None:
    log = io.StringIO()
    with progress_report(Console(file=log, width=200)) as start:
        advance = start("reading train", 3)
        advance(1)
        assert log.getvalue() == ""
        advance(2)
    assert re.fullmatch(r"reading train: 3, \d+\.\d s\n", log.getvalue())


def test_a_long_step_prints_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LINES", 0.0)
    log = io.StringIO()
    with progress_report(Console(file=log, width=200)) as start:
        start("network", 2000)(1000)
    assert log.getvalue().startswith("network: 1,000 of 2,000, ")


def test_in_a_terminal_bars_leave_nothing_behind() -> None:
    log = io.StringIO()
    with progress_report(Console(file=log, width=200, force_terminal=True)) as start:
        start("network", 2)(2)
    assert "network: 2," not in log.getvalue()
