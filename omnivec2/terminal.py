"""The console of the command line: as wide as the terminal, or wide enough for a table.

Progress is a bar on a terminal, and without one, as in a log, a line now and then.
"""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, TaskID

_PIPED_COLUMNS = 200
"""The width without a terminal: rich's 80 would wrap tables that are written to a log."""

_SECONDS = 10.0
"""The shortest time between two lines of progress."""


def make_console(*, stderr: bool = False) -> Console:
    """Make a console on standard output or error."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_PIPED_COLUMNS)


class LoggedProgress(Progress):
    """Progress bars on a terminal; without one a line every ten seconds.

    Args:
        columns: The columns of a bar.
        console: The console.
        transient: Whether bars vanish at the end.
    """

    def __init__(
        self, *columns: str | ProgressColumn, console: Console, transient: bool = False
    ) -> None:
        super().__init__(*columns, console=console, transient=transient)
        self._printed = time.monotonic()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Move a bar on."""
        super().advance(task_id, advance)
        self._print_line(task_id)

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Change a bar."""
        super().update(task_id, **changes)
        self._print_line(task_id)

    def _print_line(self, task_id: TaskID) -> None:
        now = time.monotonic()
        if self.console.is_terminal or now - self._printed < _SECONDS:
            return
        self._printed = now
        task = self._tasks[task_id]
        of = "" if task.total is None else f" of {task.total:,.0f}"
        self.console.print(
            f"{task.description}: {task.completed:,.0f}{of}", highlight=False, markup=False
        )
