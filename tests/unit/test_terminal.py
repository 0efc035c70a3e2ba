"""Where the command line prints."""

from __future__ import annotations

import io
import itertools
import time

import pytest
from rich.console import Console
from rich.table import Table

from omnivec2.terminal import LoggedProgress, make_console


def test_a_table_with_eight_columns_is_not_folded_when_it_is_piped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table(*(f"a column with number {n}" for n in range(8)))
    table.add_row(*("text/sentiment" for _ in range(8)))
    make_console().print(table)
    assert any(line.count("text/sentiment") == 8 for line in capsys.readouterr().out.splitlines())


def test_a_log_gets_a_line_of_progress_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    seconds = itertools.count(0, 4)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(seconds)))
    with LoggedProgress(console=Console(file=stream, width=200), transient=True) as progress:
        bar = progress.add_task("fitting", total=1500)
        for _ in range(4):
            progress.advance(bar, 100)
        progress.update(bar, description="measuring", advance=1)
        progress.update(bar, advance=1)
    lines = [line for line in stream.getvalue().splitlines() if line.strip()]
    assert lines == ["fitting: 300 of 1,500", "measuring: 402 of 1,500"]
