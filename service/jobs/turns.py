"""The turns that the work on a job takes: what requests leave over, and what its key may use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from omnivec2.errors import OverloadedError
from service.access.key_limits import KeyUse
from service.access.priority import Priority
from service.admission.admission_control import AdmissionControl

_TURN_POLL_SECONDS = 0.05
"""The time between two looks whether requests leave room."""

_EXPECTED_SECONDS = 0.1
"""The compute-seconds that the first turn of a job is expected to take."""


class NoBudgetError(Exception):
    """The key of a job has used up its compute-seconds before anything was computed."""


@dataclass
class JobMeter:
    """The work that was done for a job; a ``WorkMeter``.

    The admission control does not count it: requests do not wait for jobs.

    Attributes:
        seconds: The work since it was last taken, in seconds of one thread.
    """

    seconds: float = 0.0

    def expect_inputs(self, count: int) -> None:
        """Do nothing: the admission control does not estimate jobs."""

    def record_tokens(self, tokens: int) -> None:
        """Do nothing: the admission control does not learn from jobs."""

    def record_seconds(self, seconds: float) -> None:
        """Add work that has been done."""
        self.seconds += seconds

    def take(self) -> float:
        """Return the work since the last call."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


class Turns:
    """The turns that a job takes: each waits until requests leave room, and is paid for.

    Args:
        admission: The admission control.
        budget: The compute-seconds of the key; None where none is required.

    Attributes:
        meter: The meter of the work.
        taken: The number of turns that are over.
    """

    def __init__(self, admission: AdmissionControl, budget: KeyUse | None) -> None:
        self._admission = admission
        self._budget = budget
        self._expected = _EXPECTED_SECONDS
        self.meter = JobMeter()
        self.taken = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for room and for the key's compute-seconds, and charge for the block.

        Raises:
            NoBudgetError: The key has none left, and this is the first turn.
        """
        while not self._admission.has_room(Priority.LOW):
            await asyncio.sleep(_TURN_POLL_SECONDS)
        await self._reserve()
        try:
            yield
        finally:
            seconds = self.meter.take()
            if self._budget is not None:
                self._budget.settle(seconds)
        self._expected = seconds
        self.taken += 1

    async def _reserve(self) -> None:
        if self._budget is None:
            return
        while True:
            try:
                await self._budget.reserve(self._expected)
                return
            except OverloadedError as error:
                if self.taken == 0:
                    raise NoBudgetError from error
                await asyncio.sleep(max(_TURN_POLL_SECONDS, error.retry_after_seconds))
