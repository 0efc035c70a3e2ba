"""Return freed memory to the system: loading graphs would leave as much again to the C library.

ONNX Runtime unpacks stored weights into temporary blocks beside the final ones. glibc takes
small and medium blocks from heaps that shrink only at their end, so that temporary blocks
between permanent ones stay with the process.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

# <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_LOADING_BYTES = 64 * 2**10
"""Blocks of this size and more get a mapping of their own while graphs are loaded."""

_SERVING_BYTES = 32 * 2**20
"""The same while serving: where glibc's own adjustment ends. Activations below it reuse heap
memory; a mapping for each of them halves the throughput, because fresh pages must be zeroed."""

_TRIM_SECONDS = 5.0
"""The time between two trims of the heap: pages that are needed again must be zeroed."""
_TRIM_BUSY_SECONDS = 20.0
"""The same while there is work: allocations wait during a trim, a tenth of a second at worst."""

_KEEPERS: WeakSet[MemoryKeeper] = WeakSet()


@contextmanager
def freed_memory_returned() -> Iterator[None]:
    """Return what is freed in the block to the system, as far as the C library can.

    Where it is not glibc nothing happens. The thresholds apply to the whole process.
    """
    _set_thresholds(_LOADING_BYTES)
    try:
        yield
    finally:
        _set_thresholds(_SERVING_BYTES)
        trim_heap()


class MemoryKeeper(Protocol):
    """Something that keeps memory for its next use."""

    def release_memory(self) -> None:
        """Free what is kept; called from any thread."""


def release_when_trimmed(keeper: MemoryKeeper) -> None:
    """Let something release its memory whenever the heap is trimmed, as long as it lives."""
    _KEEPERS.add(keeper)


def trim_heap() -> None:
    """Return whole free pages to the system; takes milliseconds, so not in the event loop.

    Activations that engines keep for their next batches go as well: one unusually large batch
    would otherwise be remembered for good.
    """
    for keeper in tuple(_KEEPERS):
        keeper.release_memory()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


async def trim_heap_regularly(is_busy: Callable[[], bool]) -> None:
    """Return the heap memory that decoding and inference have freed to the system, regularly."""
    trimmed = time.monotonic()
    while True:
        await asyncio.sleep(_TRIM_SECONDS)
        if not is_busy() or time.monotonic() - trimmed >= _TRIM_BUSY_SECONDS:
            await asyncio.to_thread(trim_heap)
            trimmed = time.monotonic()


def _set_thresholds(mapped: int) -> None:
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_MMAP_THRESHOLD, mapped)
        mallopt(_M_TRIM_THRESHOLD, 2 * mapped)
