"""Which inputs are prepared in the event loop, because a hand-over to a thread would cost more.

A hand-over takes two switches between threads that compete for Python's lock: a tenth of a
millisecond alone, several times that under load. Tokenizing a sentence or reading a row of a table
takes less. What it takes is measured, not assumed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_INLINE_SECONDS = 300e-6
"""Calls that have taken less on average are made in the event loop."""

_INLINE_BYTES = 16 * 2**10
"""Inputs of more bytes always go to a thread, whatever they have cost."""

_TRIALS = 4
"""Calls in the event loop of which the fastest counts: others were disturbed."""

_TRY_EVERY = 100
"""Of calls that were too slow, so many go to a thread before there are trials again."""


@dataclass
class _Cost:
    """What is known of inputs of one size.

    Attributes:
        seconds: The times of the last calls in the event loop.
        in_threads: The number of calls that have gone to a thread since then.
    """

    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_TRIALS))
    in_threads: int = 0

    def is_small(self) -> bool:
        """Whether the next call is made in the event loop."""
        if len(self.seconds) == _TRIALS and min(self.seconds) > _INLINE_SECONDS:
            if self.in_threads < _TRY_EVERY:
                return False
            self.seconds.clear()
        return self.in_threads > 0 or len(self.seconds) > 0


class InlineCosts:
    """What preparing the inputs of one head costs, by their size in powers of two.

    The first input of a size goes to a thread, so that what is slow once (an import, a first
    allocation) does not hold up the event loop. Only calls in the event loop are measured: in a
    thread, the competition for Python's lock would be a part of it. Used on the event loop only.
    """

    def __init__(self) -> None:
        self._costs: dict[int, _Cost] = {}

    def are_small(self, nbytes: int) -> bool:
        """Whether an input of this many bytes costs less than handing it to a thread would."""
        if nbytes > _INLINE_BYTES:
            return False
        cost = self._costs.setdefault(nbytes.bit_length(), _Cost())
        is_small = cost.is_small()
        cost.in_threads = 0 if is_small else cost.in_threads + 1
        return is_small

    def learn(self, nbytes: int, seconds: float) -> None:
        """Record what an input has cost in the event loop.

        Args:
            nbytes: The size of the input.
            seconds: The time that it took.
        """
        self._costs[nbytes.bit_length()].seconds.append(seconds)
