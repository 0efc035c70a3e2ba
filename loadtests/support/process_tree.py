"""The processes that a process has started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def processes_below(pid: int) -> list[int]:
    """Return a process and all that it, or they, have started and that still run."""
    found = [pid]
    for number in found:
        found += _children(number)
    return found


def _children(pid: int) -> Iterator[int]:
    """Yield the children of each thread of a process, of those threads that have not ended."""
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            try:
                yield from map(int, (thread / "children").read_text().split())
            except (FileNotFoundError, ProcessLookupError):  # the thread has just ended
                continue
    except (FileNotFoundError, ProcessLookupError):  # the process has just ended
        return
