"""Priorities of threads, so that those that compute do not delay the event loop."""

from __future__ import annotations

import gc
import os
import sys
import threading

_NICE_STEPS = 5
"""Steps of ``nice``: about a third of the processor time where there is too little for both."""

_SWITCH_SECONDS = 0.001
"""Python's default of 5 ms is what the event loop would wait for every thread that computes."""


def lower_thread_priority() -> None:
    """Lower the priority of the calling thread below that of the process's other threads.

    The event loop needs little time, and every request waits for what it does: it receives
    results, refuses what is too much and answers health checks.
    """
    # Only Linux has priorities of single threads.
    if sys.platform == "linux":
        thread = threading.get_native_id()
        priority = os.getpriority(os.PRIO_PROCESS, thread) + _NICE_STEPS
        os.setpriority(os.PRIO_PROCESS, thread, priority)


def shorten_switch_interval() -> None:
    """Let threads hand over Python's lock sooner than by default; for the whole process."""
    sys.setswitchinterval(_SWITCH_SECONDS)


def freeze_heap() -> None:
    """Exempt all current objects from garbage collection; for the whole process, once loaded.

    A full collection stops every thread while it visits all that was imported and loaded,
    which takes a quarter of a second, and finds nothing.
    """
    gc.collect()
    gc.freeze()
