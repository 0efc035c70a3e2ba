"""Where the command line prints."""

from __future__ import annotations

import pytest
from rich.table import Table

from omnivec2.terminal import make_console


def test_a_table_with_eight_columns_is_not_folded_when_it_is_piped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table(*(f"a column with number {n}" for n in range(8)))
    table.add_row(*("text/sentiment" for _ in range(8)))
    make_console().print(table)
    assert any(line.count("text/sentiment") == 8 for line in capsys.readouterr().out.splitlines())
