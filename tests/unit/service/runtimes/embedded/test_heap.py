from __future__ import annotations

import subprocess
import sys
import weakref

from service.runtimes.embedded.heap import release_when_trimmed, trim_heap

# Blocks that stay lie between blocks that go: a heap cannot shrink at its end.
PROGRAM = """
import contextlib, sys
import numpy as np
from service.runtimes.embedded.heap import freed_memory_returned

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def grow():
    warm = [np.ones(2**21, np.uint8) for _ in range(8)]
    del warm  # from now on glibc itself takes such blocks from its heap
    blocks = [np.ones(200_000 + i, np.uint8) for i in range(600)]
    return [block for i, block in enumerate(blocks) if i % 2]

before = resident()
with freed_memory_returned() if sys.argv[1] == "compact" else contextlib.nullcontext():
    kept = grow()
print((resident() - before) / sum(block.nbytes for block in kept))
"""


def ratio(mode: str) -> float:
    """Return the ratio of the memory that stays to the bytes that are still used."""
    command = [sys.executable, "-c", PROGRAM, mode]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_what_is_freed_between_blocks_that_stay_goes_back_to_the_system() -> None:
    assert ratio("plain") > 1.7
    assert ratio("compact") < 1.2


class Keeper:
    """Counts how often it is asked to release its memory."""

    def __init__(self) -> None:
        self.released = 0

    def release_memory(self) -> None:
        self.released += 1


def test_trimming_releases_what_is_kept_for_the_next_batch_as_long_as_its_keeper_lives() -> None:
    keeper = Keeper()
    release_when_trimmed(keeper)
    trim_heap()
    assert keeper.released == 1
    reference = weakref.ref(keeper)
    del keeper
    assert reference() is None
    trim_heap()
