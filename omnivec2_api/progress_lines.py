"""Progress on standard error: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from omnivec2.terminal import make_console

_FIRST_LINE_SECONDS, _LINE_SECONDS = 2.0, 15.0
"""The time until the first line where there is no terminal, and between two lines."""


class Progress:
    """Progress of many inputs; a context manager.

    Args:
        total: The number of inputs; None if it is not known.
        shown: Whether anything is shown.
        title: The name in front of it.
        done: The number of inputs that were done before, in an earlier run.
        clock: A clock in seconds.

    Attributes:
        total: The number of inputs; None if it is not known.
        done: The number of inputs that are done.
        failed: The number of inputs without an answer.
    """

    def __init__(
        self,
        total: int | None,
        *,
        shown: bool = True,
        title: str = "",
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self._title, self._clock = total, title, clock
        self._console: Console | None = make_console(stderr=True) if shown else None
        self._bar: RichProgress | None = None
        self._task = TaskID(0)
        self._started = clock()
        self._next_line = self._started + _FIRST_LINE_SECONDS
        self._before = self.done = done
        self.failed = 0

    def show(self, done: int, total: int | None) -> None:
        """Show how many are done, of how many, as somebody else has counted them."""
        self.total = total
        self.done = max(self._before, done - 1)
        if self._bar is not None:
            self._bar.update(self._task, total=total)
        if done > self.done:
            self.advance()

    def advance(self, *, failed: bool = False) -> None:
        """Count one more input as done.

        Args:
            failed: Whether it has no answer.
        """
        self.done += 1
        self.failed += failed
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, failed=self._failed_text())
        elif self._console is not None and self._clock() >= self._next_line:
            self._next_line = self._clock() + _LINE_SECONDS
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """Return where it is in one line: how many, how fast, how long it will take."""
        seconds = max(self._clock() - self._started, 1e-6)
        rate = (self.done - self._before) / seconds
        of_total = "" if self.total is None else f" of {self.total:,}"
        left = ""
        if self.total is not None and rate > 0:
            left = f", {_duration((self.total - self.done) / rate)} left"
        title = f"{self._title}: " if self._title else ""
        return f"{title}{self.done:,}{of_total}, {rate:.1f}/s{left}{self._failed_text()}"

    def _failed_text(self) -> str:
        return f", {self.failed:,} failed" if self.failed else ""

    def __enter__(self) -> Self:
        if self._console is not None and self._console.is_terminal:
            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[failed]}"),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task(
                self._title, total=self.total, completed=self.done, failed=""
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
