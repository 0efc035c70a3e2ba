"""Work in a thread whose request is cancelled: what it waits for elsewhere can be ended at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class AbandonedError(Exception):
    """Nobody waits for the result of a call any more."""


class Abandonment:
    """Whether nobody waits for a call in a thread any more, and what ends the call then.

    Attributes:
        is_abandoned: Whether nobody waits for it any more.
    """

    def __init__(self) -> None:
        self.is_abandoned = False
        self._lock = threading.Lock()
        self._end: Callable[[], None] | None = None

    def abandon(self) -> None:
        """Record that nobody waits, and end what the call waits for; called by another thread."""
        with self._lock:
            self.is_abandoned = True
            if self._end is not None:
                self._end()

    @contextmanager
    def if_cancelled(self) -> Iterator[None]:
        """Abandon the call if the task that waits for it in the block is cancelled."""
        try:
            yield
        except asyncio.CancelledError:
            self.abandon()
            raise

    @contextmanager
    def ended_by(self, end: Callable[[], None]) -> Iterator[None]:
        """Let the block be ended by a call, which is not made once the block is over.

        Args:
            end: The call; it must neither wait nor fail.

        Raises:
            AbandonedError: Nobody has waited when the block would begin.
        """
        with self._lock:
            if self.is_abandoned:
                raise AbandonedError
            self._end = end
        try:
            yield
        finally:
            with self._lock:
                self._end = None
