"""The processes that a process has started."""

from __future__ import annotations

from pathlib import Path


def processes_below(pid: int) -> list[int]:
    """Return a process and all that it, or they, have started and that still run."""
    found = [pid]
    for number in found:
        for task in Path(f"/proc/{number}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found
