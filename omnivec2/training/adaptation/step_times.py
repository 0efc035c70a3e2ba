"""The time that the steps of an adaptation take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class StepTimes:
    """Seconds spent, by step."""

    started: float = field(default_factory=time.perf_counter)
    cpu_started: float = field(default_factory=time.process_time)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the time of a block to the step of a name."""
        started = time.perf_counter()
        yield
        spent = time.perf_counter() - started
        self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 2)

    def total(self) -> dict[str, float]:
        """Return the seconds of all steps, ``total``, and ``cpu`` of this process on all cores."""
        cpu = round(time.process_time() - self.cpu_started, 2)
        return {**self.seconds, "total": round(time.perf_counter() - self.started, 2), "cpu": cpu}
