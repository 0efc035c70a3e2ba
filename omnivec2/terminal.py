"""Where the command line prints: as wide as the terminal, or wide enough for a table."""

from __future__ import annotations

from rich.console import Console

_PIPED_COLUMNS = 200
"""Width where there is no terminal: rich's 80 would fold tables that end up in a log."""


def make_console(*, stderr: bool = False) -> Console:
    """A console on standard output or error."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_PIPED_COLUMNS)
