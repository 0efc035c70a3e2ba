"""The recent answers of this process, bounded in number, bytes and age."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from service.monitoring.feedback.answer_record import AnswerRecord

_MOST_BYTES = 64 * 2**20
"""The most bytes of all answers together."""

MOST_ANSWER_BYTES = 64 * 2**10
"""The longest answer that is remembered: that to 64 inputs of five classes has about 15 KiB."""

_OVERHEAD_BYTES = 500
"""About what a record takes besides its body."""


@dataclass
class _Remembered:
    record: AnswerRecord
    at: float
    claimed: set[str] = field(default_factory=set)

    @property
    def nbytes(self) -> int:
        return len(self.record.body) + _OVERHEAD_BYTES


class OwnAnswers:
    """A memory in this process; used on the event loop only.

    Args:
        most: The most answers.
        seconds: The time for which an answer is remembered.
        clock: A clock in seconds.
    """

    def __init__(
        self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._bytes = 0
        # The oldest first.
        self._answers: OrderedDict[tuple[str | None, str], _Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def put(self, record: AnswerRecord) -> None:
        """Remember an answer; the oldest are forgotten for it. One of the same id is replaced."""
        place = record.key, record.request_id
        if (before := self._answers.pop(place, None)) is not None:
            self._bytes -= before.nbytes
        remembered = self._answers[place] = _Remembered(record, self._clock())
        self._bytes += remembered.nbytes
        oldest_allowed = self._clock() - self._seconds
        while self._answers and (
            len(self._answers) > self._most
            or self._bytes > _MOST_BYTES
            or next(iter(self._answers.values())).at < oldest_allowed
        ):
            _, forgotten = self._answers.popitem(last=False)
            self._bytes -= forgotten.nbytes

    async def find(self, request_id: str, key: str | None) -> AnswerRecord | None:
        """Return a remembered answer; see ``AnswerMemory.find``."""
        found = self._find(request_id, key)
        return None if found is None else found.record

    async def claim(self, request_id: str, key: str | None, route: str) -> bool:
        """Take the feedback of an answer; see ``AnswerMemory.claim``."""
        found = self._find(request_id, key)
        if found is None or route in found.claimed:
            return False
        found.claimed.add(route)
        return True

    def _find(self, request_id: str, key: str | None) -> _Remembered | None:
        found = self._answers.get((key, request_id))
        if found is None or found.at < self._clock() - self._seconds:
            return None
        return found
