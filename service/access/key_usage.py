"""What each API key has used: requests, compute-seconds and bytes, as metrics and in the store.

The store has one hash per key and day (UTC). Gateways add to it once a second. An addition that may
or may not have arrived is sent again with its number, and counted once; so usage is lost only if a
gateway ends while the store is away.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from service.observability.key_metrics import KeyMetrics
from service.shared_state.shared_store import PREFIX, SharedStore

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEPT_DAYS = 400
"""The days after which the usage of a day leaves the store: a year, and some to compare with it."""

_KEPT_SECONDS = KEPT_DAYS * 24 * 3600

_READ_SECONDS = 20.0
"""The longest time that a report waits for the store."""

_MOST_KEYS = 200
"""The most keys whose usage is sent in one round trip."""

_ADD = """
local number = tonumber(ARGV[2])
if number <= tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0') then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], number)
redis.call('EXPIRE', KEYS[2], 172800)
for place = 4, #ARGV, 2 do redis.call('HINCRBYFLOAT', KEYS[1], ARGV[place], ARGV[place + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
"""Add usage once. KEYS: the usage of a key on a day, the last addition of each gateway to it.
ARGV: the gateway, the number of the addition, seconds until the usage leaves the store, and pairs
of a field and what is added."""


@dataclass
class Usage:
    """What a key has used.

    Attributes:
        requests: The number of requests that its limits let in.
        refused: The number of requests that its limits refused.
        compute_seconds: The work on its requests, in seconds of one thread.
        received_bytes: The bytes of the bodies of its requests, as far as they were read.
        sent_bytes: The bytes of the bodies of its answers.
    """

    requests: float = 0.0
    refused: float = 0.0
    compute_seconds: float = 0.0
    received_bytes: float = 0.0
    sent_bytes: float = 0.0

    def add(self, other: Usage) -> None:
        """Add what was used elsewhere, or later."""
        for part in _PARTS:
            setattr(self, part, getattr(self, part) + getattr(other, part))

    @staticmethod
    def of(values: Mapping[str, str]) -> Usage:
        """Return the usage that a hash of the store holds."""
        return Usage(**{name: float(values.get(name, 0)) for name in _PARTS})


_PARTS = [part.name for part in fields(Usage)]


@dataclass
class _Addition:
    """What is sent to the store at once: the usage by key, of one day."""

    number: int
    day: date
    usage: dict[str, Usage]


@dataclass
class KeyUsage:
    """Counts what keys use.

    Attributes:
        metrics: The metrics of keys.
        store: The store that has the usage of all gateways, if there is one.
    """

    metrics: KeyMetrics
    store: SharedStore | None = None
    _new: dict[str, Usage] = field(default_factory=dict)
    _unsent: deque[_Addition] = field(default_factory=deque)
    _number: int = 0
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        if self.store is not None:
            self.store.every_beat(self._send)

    def add(self, key: str, used: Usage) -> None:
        """Add to what a key has used."""
        self.metrics.observe(key, vars(used))
        if self.store is not None:
            self._new.setdefault(key, Usage()).add(used)

    async def _send(self) -> None:
        """Send what is new to the store; what failed the last time goes first, as it was."""
        async with self._sending:  # or two at once would each take away what the other has sent
            # What is counted from here on waits for the next time: this must end under any load.
            used, self._new = list(self._new.items()), {}
            today = datetime.now(UTC).date()
            for start in range(0, len(used), _MOST_KEYS):
                self._number += 1
                part = dict(used[start : start + _MOST_KEYS])
                self._unsent.append(_Addition(self._number, today, part))
            while self._unsent:
                await self._send_addition(self._unsent[0])
                self._unsent.popleft()

    async def _send_addition(self, addition: _Addition) -> None:
        store = self.store
        assert store is not None, "usage is sent to a store"

        async def send(client: Redis) -> None:
            script = client.register_script(_ADD)
            async with client.pipeline(transaction=False) as pipeline:
                for key, used in addition.usage.items():
                    name = _name(key, addition.day)
                    pairs = [text for part in _PARTS for text in (part, getattr(used, part))]
                    values: list[Any] = [store.replica, addition.number, _KEPT_SECONDS, *pairs]
                    await script([name, f"{name}:additions"], values, client=pipeline)
                await pipeline.execute()

        await store.run(send)


async def read_usage(url: str, days: int) -> dict[str, Usage]:
    """Return what each key has used over all gateways.

    Args:
        url: The address of the store.
        days: The number of days, which end with today (UTC).

    Raises:
        StoreAwayError: The store cannot be read.
        ArtifactError: The address is not one of a store, or the client is not installed.
    """
    store = SharedStore(url, timeout_seconds=_READ_SECONDS)
    await store.connect()
    today = datetime.now(UTC).date()
    wanted = {(today - timedelta(days=n)).isoformat() for n in range(days)}

    async def read(client: Redis) -> dict[str, Usage]:
        found: dict[str, Usage] = {}
        names = [name async for name in client.scan_iter(match=f"{PREFIX}usage:*", count=1000)]
        for name in sorted(names):
            match = _NAME.fullmatch(name)
            if match and match["day"] in wanted:
                values = await cast("Awaitable[dict[str, str]]", client.hgetall(name))
                found.setdefault(match["key"], Usage()).add(Usage.of(values))
        return found

    try:
        return await store.try_run(read)
    finally:
        await store.close()


def _name(key: str, day: date) -> str:
    """Return the name of a key's usage on a day; names of keys have no braces."""
    return f"{PREFIX}usage:{{{key}}}:{day.isoformat()}"


_NAME = re.compile(rf"{PREFIX}usage:\{{(?P<key>[^{{}}]+)\}}:(?P<day>[0-9-]{{10}})")
