"""Progress of long work: bars in a terminal, lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[int], None]
"""A callback with the number of units done since the last call."""

Start = Callable[[str, int], Advance]
"""Starts a step with a name and a number of units."""

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress_report(console: Console) -> Iterator[Start]:
    """Yield a function that starts a step and returns its callback.

    Args:
        console: The console; if it is no terminal, a step prints a line every few seconds,
            and when it is done.
    """
    if not console.is_terminal:
        yield lambda name, total: _Lines(console, name, total).advance
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bars:

        def start(name: str, total: int) -> Advance:
            task = bars.add_task(name, total=total)
            return lambda count: bars.advance(task, count)

        yield start


class _Lines:
    """The lines of one step."""

    def __init__(self, console: Console, name: str, total: int) -> None:
        self.console, self.name, self.total = console, name, total
        self.done = 0
        self.started = self.printed = time.perf_counter()

    def advance(self, count: int) -> None:
        """Count, and print a line if the last one is long ago or the step is done."""
        self.done += count
        now = time.perf_counter()
        is_done = self.done >= self.total
        if is_done or now - self.printed >= _SECONDS_BETWEEN_LINES:
            self.printed = now
            of = "" if is_done else f" of {self.total:,}"
            spent = f"{now - self.started:.1f} s"
            self.console.print(
                f"{self.name}: {self.done:,}{of}, {spent}", markup=False, highlight=False
            )
