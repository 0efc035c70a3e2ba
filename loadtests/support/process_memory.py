"""The memory of a process, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path

from loadtests.support.process_tree import processes_below


def process_memory(pid: int | str = "self") -> dict[str, int]:
    """Return ``Rss`` and ``Pss`` of a process, by default of this one, in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    lines = [line.split() for line in text.splitlines()[1:]]
    sizes = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}
    return {name: sizes[name] for name in ("Rss", "Pss")}


def tree_memory(pid: int) -> int:
    """Return the bytes of a process and of those below it; what they share counts once."""
    total = 0
    for number in processes_below(pid):
        try:
            total += process_memory(number)["Pss"]
        except (OSError, KeyError):  # it has just ended
            continue
    return total
