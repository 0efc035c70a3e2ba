"""The console of the command line: as wide as the terminal, or wide enough for a table."""

from __future__ import annotations

from rich.console import Console

_PIPED_COLUMNS = 200
"""The width without a terminal: rich's 80 would wrap tables that are written to a log."""


def make_console(*, stderr: bool = False) -> Console:
    """Make a console on standard output or error."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_PIPED_COLUMNS)
