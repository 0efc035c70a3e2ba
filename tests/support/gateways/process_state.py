"""Keeping what serving a gateway changes for its whole process from the tests after it."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def process_state_restored() -> Iterator[None]:
    """Put back the handlers and level of logs, the switch interval and the frozen heap.

    SIGTERM has a handler meanwhile: one that comes before a server handles it, or after, would end
    the process of all tests.
    """
    root, interval = logging.getLogger(), sys.getswitchinterval()
    handlers, level = root.handlers[:], root.level
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        sys.setswitchinterval(interval)
        gc.unfreeze()
        signal.signal(signal.SIGTERM, before)
