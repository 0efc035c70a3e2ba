"""Where the time of an adaptation went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Seconds by what they were spent on."""

    started: float = field(default_factory=time.perf_counter)
    cpu_started: float = field(default_factory=time.process_time)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Count the block under a name."""
        started = time.perf_counter()
        yield
        spent = time.perf_counter() - started
        self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 2)

    def total(self) -> dict[str, float]:
        """All of it; ``cpu`` counts every core, and no other program's work."""
        cpu = round(time.process_time() - self.cpu_started, 2)
        return {**self.seconds, "total": round(time.perf_counter() - self.started, 2), "cpu": cpu}
