"""A thread that works off what requests hand it, without ever making them wait."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class BoundedWorker(Generic[T]):
    """A bounded queue and the thread that empties it.

    Args:
        name: The name of the thread.
        handle: A callback for some of what waits, in order. What it raises is logged.
        most_items: The most items that may wait.
        most_bytes: The most bytes of items that may wait.
        most_at_once: The most items of one call.
        most_bytes_at_once: The bytes after which a call gets no further item.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[Sequence[T]], None],
        *,
        most_items: int,
        most_bytes: int,
        most_at_once: int = 1,
        most_bytes_at_once: int = 2**20,
    ) -> None:
        self._name = name
        self._handle = handle
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._most_at_once = most_at_once
        self._most_bytes_at_once = most_bytes_at_once
        self._waiting: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._is_busy = False
        self._thread: threading.Thread | None = None
        self.closing = threading.Event()

    def start(self) -> None:
        """Start the thread; not before a process has been forked."""
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def offer(self, item: T, nbytes: int) -> bool:
        """Add an item to the queue if there is room, and return whether there was.

        Args:
            item: The item.
            nbytes: The memory that it holds, about.
        """
        with self._changed:
            full = len(self._waiting) >= self._most_items
            if full or self._bytes + nbytes > self._most_bytes or self.closing.is_set():
                return False
            self._waiting.append((item, nbytes))
            self._bytes += nbytes
            self._changed.notify_all()
            return True

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until all that was queued has been handled; return whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._is_busy, seconds)

    def close(self, seconds: float) -> bool:
        """Handle what waits, stop, and return whether that was done in time. Idempotent.

        Args:
            seconds: The longest time to wait. ``closing`` is set meanwhile, so that a callback
                that retries can give up.
        """
        if self._thread is None:
            return True
        with self._changed:
            self.closing.set()
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                self._handle(batch)
            except Exception:
                # A defect must not end the thread, or everything later would be dropped unseen.
                _LOG.exception("%s failed", self._name)
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()

    def _next_batch(self) -> list[T]:
        """Wait for items and return some; none once the worker is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.closing.is_set())
            batch: list[T] = []
            total = 0
            while self._waiting and len(batch) < self._most_at_once:
                item, nbytes = self._waiting[0]
                if batch and total + nbytes > self._most_bytes_at_once:
                    break
                self._waiting.popleft()
                self._bytes -= nbytes
                total += nbytes
                batch.append(item)
            self._is_busy = bool(batch)
            return batch
