"""Threads that work let the event loop go first."""

from __future__ import annotations

import gc
import os
import sys
import threading

_BELOW = 5
"""Steps of ``nice``: about a third of the processor time where there is too little for both."""

_SWITCH_SECONDS = 0.001
"""Python's default of 5 ms is what the event loop would wait for every thread that computes."""


def give_way() -> None:
    """Let other threads of this process go before the calling one.

    The event loop needs little, and what it does is what others wait for: it takes answers
    back, refuses what is too much and tells that the process is alive.
    """
    # Only Linux has priorities of single threads.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _BELOW)


def switch_often() -> None:
    """Let threads hand over Python's lock sooner than by default; for the whole process."""
    sys.setswitchinterval(_SWITCH_SECONDS)


def settle_heap() -> None:
    """Take what is there now out of garbage collection; for the whole process, once loaded.

    A full collection stops every thread while it looks at all that was imported and loaded,
    which takes a quarter of a second, and finds nothing.
    """
    gc.collect()
    gc.freeze()
