"""The limits of keys over all gateways: buckets and leases in the shared store.

Each decision is one script, which the store runs as a whole and by its own clock, so that neither
races between gateways nor their clocks matter. A bucket is two numbers, and leaves the store once
it would be full again. A lease is a request under way, with a time at which it ends unless its
gateway renews it: what a gateway held that died is free after that.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from service.access.token_bucket import BucketLimit
from service.shared_state.shared_store import PREFIX, SharedStore, StoreAwayError

_LEASE_SECONDS = 10.0
"""The time after which a lease ends that is not renewed; heartbeats renew it every second."""

# Numbers go as text: Lua would cut the decimals of a result, and write large ones with 14 digits.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local cost, rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local most, lease, lease_ms = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local settles = ARGV[7] == '1'
if most > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
  local running = redis.call('ZCARD', KEYS[2])
  if running >= most then return {'concurrent', tostring(running)} end
end
if rate > 0 then
  local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
  local passed = math.max(0, now - (tonumber(state[2]) or now))
  local tokens = math.min(burst, (tonumber(state[1]) or burst) + passed / 1000 * rate)
  local missing = math.min(cost, burst) - tokens
  if missing > 0 and not settles then
    return {'rate', string.format('%.6f', missing / rate)}
  end
  tokens = math.min(burst, tokens - cost)
  redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens),
    'at', string.format('%.3f', now))
  local full_ms = math.min((burst - tokens) / rate * 1000 + 1000, 31536000000)
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', full_ms))
end
if most > 0 then
  redis.call('ZADD', KEYS[2], string.format('%.0f', now + lease_ms), lease)
  redis.call('PEXPIRE', KEYS[2], lease_ms)
end
return {'', '0'}
"""
"""Take tokens and a lease, or neither.

KEYS: the bucket, the leases. ARGV: the cost, the rate (0: no limit), the burst, the most leases
(0: no limit), the name of the lease, its milliseconds, and 1 to settle: the cost is what a request
took more than was taken before (less: below 0), and is never refused.
"""

_RENEW = """
local time = redis.call('TIME')
local ends = string.format('%.0f', time[1] * 1000 + time[2] / 1000 + ARGV[1])
for place = 2, #ARGV do redis.call('ZADD', KEYS[1], ends, ARGV[place]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
"""Prolong leases, also those that are not there any more. KEYS: the leases. ARGV: milliseconds,
names."""


@dataclass(frozen=True)
class Verdict:
    """The store's decision on a request.

    Attributes:
        retry_after_seconds: The time until there are enough tokens; 0 if there are.
        running: The requests under way if there are as many as allowed; 0 if there are fewer.
    """

    retry_after_seconds: float = 0.0
    running: int = 0

    @property
    def is_granted(self) -> bool:
        """Whether the request may go on."""
        return not self.retry_after_seconds and not self.running


@dataclass
class SharedLimits:
    """The buckets and leases of all keys in a store.

    Attributes:
        store: The store.
    """

    store: SharedStore
    _leases: dict[str, set[str]] = field(default_factory=dict)
    _names: count[int] = field(default_factory=count)
    _to_settle: dict[str, tuple[float, BucketLimit]] = field(default_factory=dict)
    _settling: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.store.every_beat(self._renew)

    def new_lease(self, key: str) -> str:
        """Return the name of a lease, which is renewed from now on until it is released."""
        lease = f"{self.store.replica}:{next(self._names)}"
        self._leases.setdefault(key, set()).add(lease)
        return lease

    def forget_lease(self, key: str, lease: str) -> None:
        """Stop renewing a lease."""
        held = self._leases.get(key, set())
        held.discard(lease)
        if not held:
            self._leases.pop(key, None)

    async def take(
        self, key: str, limit: BucketLimit | None, most_concurrent: int | None, lease: str
    ) -> Verdict:
        """Take a token and a lease for a request.

        Args:
            key: The name of the key.
            limit: The limit on its requests, if there is one.
            most_concurrent: The limit on its requests under way, if there is one.
            lease: The name of the lease, if there is such a limit.

        Raises:
            StoreAwayError: The store cannot be used now.
        """
        rate, burst = (limit.rate, limit.burst) if limit else (0.0, 0.0)
        lease_ms = int(_LEASE_SECONDS * 1000)
        return await self._take(
            [_name(key, "requests"), _name(key, "leases")],
            [1.0, rate, burst, most_concurrent or 0, lease, lease_ms, 0],
        )

    async def take_compute(self, key: str, seconds: float, limit: BucketLimit) -> Verdict:
        """Take compute-seconds for a request; see ``take``."""
        return await self._take(
            [_name(key, "compute"), _name(key, "leases")],
            [seconds, limit.rate, limit.burst, 0, "", 0, 0],
        )

    def settle_compute(self, key: str, seconds: float, limit: BucketLimit) -> None:
        """Take, soon, what a request took more than was taken before; below 0, give back.

        If the store goes away before, the difference is lost.
        """
        before, _ = self._to_settle.get(key, (0.0, limit))
        self._to_settle[key] = before + seconds, limit
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle())

    async def release(self, key: str, lease: str) -> None:
        """End a lease; if the store is away, it ends by itself."""
        self.forget_lease(key, lease)
        with contextlib.suppress(StoreAwayError):
            await self.store.run(lambda client: client.zrem(_name(key, "leases"), lease))

    async def _take(self, names: list[str], arguments: list[Any]) -> Verdict:
        reason, value = await self.store.call_script(_TAKE, names, arguments)
        if reason == "concurrent":
            return Verdict(running=int(value))
        return Verdict(retry_after_seconds=float(value))

    async def _renew(self) -> None:
        for key, held in list(self._leases.items()):
            arguments = [int(_LEASE_SECONDS * 1000), *held]
            await self.store.call_script(_RENEW, [_name(key, "leases")], arguments)

    async def _settle(self) -> None:
        """Settle all that is to be settled; meanwhile more of a key becomes one call."""
        while self._to_settle:
            key, (seconds, limit) = self._to_settle.popitem()
            with contextlib.suppress(StoreAwayError):
                await self._take(
                    [_name(key, "compute"), _name(key, "leases")],
                    [seconds, limit.rate, limit.burst, 0, "", 0, 1],
                )


def _name(key: str, kind: str) -> str:
    # In braces is what decides on the part of a cluster: scripts use names of one part only.
    return f"{PREFIX}keys:{{{key}}}:{kind}"
