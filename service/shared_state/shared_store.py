"""The client of a Valkey or Redis that gateways share, behind a circuit.

::

    run(script) ─ up ───► one round trip, at most the timeout ─► result
       │           └────► failure or timeout: the circuit opens ─┐
       └─ away ─► StoreAwayError at once                         │
                     ▲                                           │
    heartbeat, once a second: opens and closes the circuit ◄─────┘

While the store is away no request waits for it: a background task, never a request, finds out that
it is back. That task is also the replica's heartbeat in the store. It writes by a script, so that a
store that answers but cannot be written (a read-only copy, no memory left) counts as away, too.

This room knows nothing of limits and keys. Whoever keeps something in the store passes scripts and
pipelines to ``run`` and regular work to ``every_beat``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from omnivec2.errors import ArtifactError
from service.shared_state.store_address import client_url, shown_address

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

PREFIX = "omnivec2:"
"""The beginning of the name of everything that is kept in a store."""

_LOG = logging.getLogger(__name__)

_BEAT_SECONDS = 1.0
"""The time between two heartbeats, and between two attempts to reach a store that is away."""

_FIRST_RETRY_SECONDS = 0.1
"""The time after a failure until the first attempt: most are over then, as a lost connection is."""

_ALIVE_SECONDS = 5.0
"""The time after its last heartbeat in which a replica is counted."""

_MAX_CONNECTIONS = 16
"""The most connections of one process. A script takes about a tenth of a millisecond."""

_BEAT_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""

_REPLICAS = f"{PREFIX}replicas"


class StoreAwayError(Exception):
    """The store cannot be used now; whoever asked does without."""


class SharedStore:
    """A store that the gateways of one service share; used on the event loop only.

    Args:
        url: The address; see ``store_address.client_url``.
        timeout_seconds: The longest time that a request waits for the store.
        least_replicas: The number of replicas that are known to run, whatever the store says.
        on_call: The callback for every use of the store; it gets the seconds that it took.
        clock: A clock in seconds.

    Attributes:
        replica: The name of this process in the store.
        address: The address as it may be logged.
        is_up: Whether the store can be used.

    Raises:
        ArtifactError: The address is not one of a store.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 0.25,
        least_replicas: int = 1,
        on_call: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = client_url(url)
        self._timeout = timeout_seconds
        self._least_replicas = least_replicas
        self._on_call = on_call
        self._clock = clock
        self.replica = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        self.address = shown_address(self._url)
        self.is_up = False
        self._client: Redis | None = None
        self._places = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._scripts: dict[str, Any] = {}
        self._counts: list[tuple[float, int]] = []
        self._last_count = least_replicas
        self._beats: list[Callable[[], Awaitable[None]]] = []
        self._beating: asyncio.Task[None] | None = None
        self._was_lost = asyncio.Event()
        self._is_reported = True

    @property
    def replicas(self) -> int:
        """The number of replicas last seen, this one included.

        It is the most of the last seconds: a store that lost its data sees them come one by one.
        """
        counts = [count for _, count in self._counts] or [self._last_count]
        return max(self._least_replicas, *counts)

    def every_beat(self, call: Callable[[], Awaitable[None]]) -> None:
        """Make a call once a second while the store is up; what it raises is logged."""
        self._beats.append(call)

    async def start(self) -> None:
        """Connect, and begin the heartbeat; a store that is away is no failure.

        Raises:
            ArtifactError: See ``connect``.
        """
        await self.connect()
        self._is_reported = False
        await self._beat()
        self._beating = asyncio.create_task(self._keep_beating())

    async def connect(self) -> None:
        """Prepare the client, without a heartbeat; it connects when it is used.

        Raises:
            ArtifactError: The client's library is not installed, or an option of the address is
                not known to it.
        """
        try:
            from redis.asyncio import ConnectionPool, Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ModuleNotFoundError as error:
            raise ArtifactError(
                "OMNIVEC2_SHARED_STATE_URL needs the client of the store:"
                " pip install 'omnivec2-serve[shared-state]'"
            ) from error
        try:
            pool = ConnectionPool.from_url(
                self._url,
                # One more, for the moment in which a connection that was given up is closed.
                max_connections=_MAX_CONNECTIONS + 1,
                socket_connect_timeout=self._timeout,
                socket_timeout=None,  # of a whole use, in try_run
                # What a request waits for is tried once: the circuit and local limits do the rest.
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
                client_name="omnivec2",
            )
        except (ValueError, TypeError) as error:
            raise ArtifactError(
                "OMNIVEC2_SHARED_STATE_URL: an option after ? is not known to the client, or its"
                " value is not valid"
            ) from error
        self._client = Redis.from_pool(pool)

    async def run(self, use: Callable[[Redis], Awaitable[T]]) -> T:
        """Return the result of a use of the store.

        A use that fails may have been carried out nevertheless.

        Args:
            use: A call that gets the client, and takes one round trip.

        Raises:
            StoreAwayError: The store is away, or has just failed.
        """
        if not self.is_up:
            raise StoreAwayError(self.address)
        return await self.try_run(use)

    async def call_script(self, text: str, keys: list[str], arguments: list[Any]) -> Any:
        """Return the result of a script in Lua; see ``run``.

        Args:
            text: The script; stores keep it, and only its hash is sent from the second call on.
            keys: The names of what it reads and writes.
            arguments: Its other arguments: numbers and strings.
        """
        return await self.run(lambda client: self._script(client, text)(keys, arguments))

    async def close(self) -> None:
        """Make the last regular calls, sign off and disconnect. Idempotent."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait((self._beating,))
            self._beating = None
        if self.is_up:
            await self._call_beats()
        if (client := self._client) is None:
            return
        with contextlib.suppress(StoreAwayError):
            await self.run(lambda client: client.zrem(_REPLICAS, self.replica))
        self.is_up, self._client = False, None
        with contextlib.suppress(Exception):  # it is of no use any more
            await client.aclose()

    def _script(self, client: Redis, text: str) -> Any:
        if (script := self._scripts.get(text)) is None:
            script = self._scripts[text] = client.register_script(text)
        return script

    async def try_run(self, use: Callable[[Redis], Awaitable[T]]) -> T:
        """Use the store whether it is up or not; see ``run``. Requests must not wait for this."""
        from redis.exceptions import RedisError

        assert self._client is not None, "the store has not been started"
        started = time.perf_counter()
        try:
            # Places, and not the library's blocking pool: waiting there for a connection can hang
            # for ever if the wait is cancelled.
            async with asyncio.timeout(self._timeout), self._places:
                return await use(self._client)
        except (RedisError, OSError, TimeoutError) as error:
            reason = str(error) or f"no answer within {self._timeout:g} s"
            self._record_failure(reason)
            raise StoreAwayError(f"{self.address}: {reason}") from error
        finally:
            self._on_call(time.perf_counter() - started)

    def _record_failure(self, reason: str) -> None:
        if self.is_up or not self._is_reported:
            _LOG.error(
                "the shared state at %s is away (%s): each of %d gateways keeps its share of the"
                " limits until it is back",
                self.address,
                reason,
                self.replicas,
            )
            self._is_reported = True
        if self.is_up:
            self.is_up = False
            self._was_lost.set()

    async def _keep_beating(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BEAT_SECONDS):
                    await self._was_lost.wait()
            if self._was_lost.is_set():
                self._was_lost.clear()
                await asyncio.sleep(_FIRST_RETRY_SECONDS)
            await self._beat()
            if self.is_up:
                await self._call_beats()

    async def _beat(self) -> None:
        """Register this replica and count all; the circuit closes if that succeeds."""
        arguments = [self.replica, int(_ALIVE_SECONDS * 1000)]
        try:
            count = int(
                await self.try_run(
                    lambda client: self._script(client, _BEAT_SCRIPT)([_REPLICAS], arguments)
                )
            )
        except StoreAwayError:
            return
        now = self._clock()
        if not self.is_up:
            _LOG.info("the shared state at %s is in use", self.address)
            self._counts.append((now, self._last_count))
        self._counts = [(at, n) for at, n in self._counts if now - at < _ALIVE_SECONDS]
        self._counts.append((now, count))
        self._last_count = count
        self.is_up = True

    async def _call_beats(self) -> None:
        for call in self._beats:
            try:
                await call()
            except StoreAwayError:
                return
            except Exception:
                # A defect in one must not end the heartbeat, or no store would ever be up again.
                _LOG.exception("regular work on the shared state failed")
