"""The queue of jobs in a Valkey or Redis: a stream, and the group of the gateways that read it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from service.shared_state.shared_store import PREFIX

if TYPE_CHECKING:
    from redis.asyncio import Redis

STREAM = f"{PREFIX}jobs:queue"
GROUP = "gateways"


class Call(Protocol):
    """A function that uses a store; see ``RedisJobStore.call``."""

    def __call__(
        self, use: Callable[[Redis], Awaitable[Any]], seconds: float = 0.0
    ) -> Awaitable[Any]:
        """Return the result of one use of the store."""


class JobQueue:
    """The stream of the jobs that are not over, as the workers of a gateway read it.

    Args:
        call: A function that uses the store.
        lease_seconds: The time after which a job is taken from a gateway that is silent.
    """

    def __init__(self, call: Call, lease_seconds: float) -> None:
        self._call = call
        self._lease_seconds = lease_seconds
        self._has_group = False
        self._looked_at = 0.0

    async def make_group(self) -> None:
        """Make the group of gateways unless there is one."""
        from redis.exceptions import ResponseError

        if self._has_group:
            return

        async def make(client: Redis) -> None:
            try:
                await client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

        await self._call(make)
        self._has_group = True

    def forget_group(self) -> None:
        """Make the group again before it is used next."""
        self._has_group = False

    async def abandoned(self, worker: str) -> tuple[bytes, Mapping[bytes, bytes]] | None:
        """Take over a job whose gateway is silent; looked for a few times within a lease."""
        if time.monotonic() - self._looked_at < self._lease_seconds / 4:
            return None
        self._looked_at = time.monotonic()
        start: Any = "0-0"
        while True:  # a call looks at some of the entries only
            start, entries = await self._claim_silent(worker, start)
            if entries:
                self._looked_at = 0.0  # there may be more
                return entries[0][0], entries[0][1]
            if start == b"0-0":
                return None

    async def _claim_silent(self, worker: str, start: Any) -> tuple[Any, list[Any]]:
        """Take over the next entry whose worker is silent; also return where to look on."""
        silent = int(self._lease_seconds * 1000)
        found = await self._call(
            lambda client: client.xautoclaim(STREAM, GROUP, worker, silent, start_id=start, count=1)
        )
        return found[0], found[1]

    async def next_one(
        self, worker: str, seconds: float
    ) -> tuple[bytes, Mapping[bytes, bytes]] | None:
        """Wait for a job that is not delivered yet."""
        wait = max(1, int(seconds * 1000))
        found = await self._call(
            lambda client: client.xreadgroup(GROUP, worker, {STREAM: ">"}, count=1, block=wait),
            seconds,
        )
        if not found:
            return None
        # RESP2 gives [[stream, entries]]; RESP3 gives {stream: [entries]}.
        entries = found[0][1] if isinstance(found, list) else next(iter(found.values()))[0]
        return entries[0][0], entries[0][1]
