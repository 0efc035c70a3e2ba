"""A token bucket in this process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BucketLimit:
    """The size of a token bucket.

    Attributes:
        rate: The tokens that it gains per second.
        burst: The most tokens that it holds.
    """

    rate: float
    burst: float

    def share(self, replicas: int, least_burst: float = 0.0) -> BucketLimit:
        """Return the part of one of several replicas, which holds a least number of tokens."""
        return BucketLimit(self.rate / replicas, max(least_burst, self.burst / replicas))


class TokenBucket:
    """A bucket that begins full; its size is given with every use, because it may change.

    Args:
        now: The time, in seconds of any clock; the same clock is used in all calls.

    Attributes:
        tokens: The tokens that it held at the last use; None if it has not been used.
    """

    def __init__(self, now: float) -> None:
        self.tokens: float | None = None
        self._filled_at = now

    def take(self, cost: float, limit: BucketLimit, now: float) -> float:
        """Take tokens if there are enough, and return 0; else the seconds until there are.

        What costs more than the bucket holds is granted by a full one, which is in debt then.
        """
        tokens = self._refill(limit, now)
        missing = min(cost, limit.burst) - tokens
        if missing > 0:
            return missing / limit.rate
        self.tokens = tokens - cost
        return 0.0

    def draw(self, cost: float, limit: BucketLimit, now: float) -> None:
        """Take as many tokens as there are, for what was granted elsewhere."""
        tokens = self._refill(limit, now)
        self.tokens = max(min(0.0, tokens), tokens - cost)

    def give_back(self, tokens: float, limit: BucketLimit, now: float) -> None:
        """Add tokens that were not needed; fewer than 0 are taken, whatever is there."""
        self.tokens = min(limit.burst, self._refill(limit, now) + tokens)

    def _refill(self, limit: BucketLimit, now: float) -> float:
        held = limit.burst if self.tokens is None else self.tokens
        self.tokens = min(limit.burst, held + max(0.0, now - self._filled_at) * limit.rate)
        self._filled_at = now
        return self.tokens
