"""Stopping a run with Ctrl-C or SIGTERM: the running step is finished and saved first.

A second Ctrl-C stops at once, without saving. This module imports nothing heavy: the command line
reads :class:`Interrupted` too.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NOTICE = {
    signal.SIGINT: b"\nCtrl-C: saving after this step; press it again to stop without saving\n",
    signal.SIGTERM: b"\nSIGTERM: saving after this step\n",
}


class Interrupted(KeyboardInterrupt):
    """A run that a signal stopped. It passes through handlers of ordinary errors, as Ctrl-C does.

    Args:
        number: The number of the signal.
        steps: The number of finished steps over all stages; None where no step was running.

    Attributes:
        exit_status: The exit status that shells report for a process ended by the signal.
    """

    def __init__(self, number: int, steps: int | None = None) -> None:
        super().__init__(signal.Signals(number).name)
        self.number, self.steps = number, steps
        self.exit_status = 128 + number


class Interruption:
    """A context in which SIGINT and SIGTERM are noted, to be acted upon after the running step.

    Outside of the main thread, where signals never arrive, it does nothing.

    Args:
        processes: The number of processes that compute a step together. Those of a group may get
            a signal twice (from the terminal and from ``torchrun``), so that only a single process
            takes the second Ctrl-C as a wish to stop at once.

    Attributes:
        number: The number of the first signal, or None.
    """

    def __init__(self, processes: int = 1) -> None:
        self.number: int | None = None
        self._is_alone = processes == 1
        self._raises = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._previous = {each: signal.signal(each, self._note) for each in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, handler)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Stop at once in this context, in which everything is saved (validation, for example).

        Raises:
            Interrupted: A signal arrived, if this is the only process.
        """
        self._raises = self._is_alone
        try:
            yield
        finally:
            self._raises = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        first = self.number is None
        self.number = self.number or number
        if self._raises:
            raise Interrupted(number)
        if first:
            # Written past Python's buffers: this may interrupt a print of the same thread.
            os.write(2, _NOTICE[signal.Signals(number)])
        elif self._is_alone and number == signal.SIGINT:
            raise KeyboardInterrupt
