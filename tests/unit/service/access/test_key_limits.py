"""Limits of keys: in one process, over several that share a real Redis, and when it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from omnivec2.errors import OverloadedError
from service.access import shared_limits
from service.access.api_keys import Key
from service.access.key_limits import KeyLimits, KeyUse
from service.access.key_usage import KeyUsage, Usage, read_usage
from service.access.shared_limits import SharedLimits
from service.observability.gateway_metrics import Metrics
from service.observability.key_metrics import usage_of_exposition
from service.shared_state import shared_store
from service.shared_state.shared_store import SharedStore
from tests.support.outside_services.shared_state import Store, needs_store, running_store
from tests.support.waiting import until


def key(**limits: Any) -> Key:
    return Key(name="alice", sha256="0" * 64, **limits)


class Gateway:
    """The limits of one gateway.

    Attributes:
        fallbacks: The decisions that it made because the store was away.
    """

    def __init__(self, store: SharedStore | None = None, clock: Callable[[], float] | None = None):
        self.metrics = Metrics()
        self.store = store
        self.fallbacks = 0
        shared = SharedLimits(store) if store else None
        usage = KeyUsage(self.metrics.keys, store)
        self.limits = KeyLimits(usage, shared, self._count)
        if clock is not None:
            self.limits.clock = clock

    def _count(self) -> None:
        self.fallbacks += 1

    async def try_enter(self, key: Key) -> KeyUse | None:
        try:
            return await self.limits.enter(key)
        except OverloadedError:
            return None

    def counted(self) -> Usage:
        counted = usage_of_exposition(self.metrics.exposition().decode())
        return Usage(**counted.get("alice", {}))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(shared_store, "_BEAT_SECONDS", 0.05)
    with running_store() as store:
        yield store


@asynccontextmanager
async def gateways(url: str, count: int) -> AsyncIterator[list[Gateway]]:
    """Give gateways of which each has seen all others."""
    async with AsyncExitStack() as stack:
        stores = [SharedStore(url, timeout_seconds=2.0) for _ in range(count)]
        made = [Gateway(store) for store in stores]
        for store in stores:
            await store.start()
            stack.push_async_callback(store.close)
        await until(lambda: all(store.replicas == count for store in stores))
        yield made


def test_without_a_store_a_process_counts_for_itself() -> None:
    async def main() -> None:
        now = 0.0
        gateway = Gateway(clock=lambda: now)
        limited = key(requests_per_second=2, max_concurrent=2)
        first, second = await gateway.try_enter(limited), await gateway.try_enter(limited)
        assert first
        assert second
        with pytest.raises(OverloadedError, match="2 requests under way"):
            await gateway.limits.enter(limited)
        await first.leave()
        await first.leave()  # counts once
        with pytest.raises(OverloadedError, match="2 requests per second") as caught:
            await gateway.limits.enter(limited)
        assert caught.value.retry_after_seconds == 0.5
        now = 0.5
        assert await gateway.try_enter(limited)
        assert gateway.fallbacks == 0
        used = gateway.counted()
        assert (used.requests, used.refused) == (3, 2)

    asyncio.run(main())


def test_compute_seconds_are_reserved_by_estimate_and_settled_by_measure() -> None:
    async def main() -> None:
        now = 0.0
        gateway = Gateway(clock=lambda: now)
        limited = key(compute_seconds_per_minute=60, compute_burst_seconds=2)
        use = await gateway.limits.enter(limited)
        await use.reserve(1.5)
        other = await gateway.limits.enter(limited)
        with pytest.raises(OverloadedError, match="60 compute-seconds per minute") as caught:
            await other.reserve(1.0)
        assert caught.value.retry_after_seconds == 0.5
        use.settle(0.25)
        await other.reserve(1.0)
        other.settle(3.0)  # more than was there
        with pytest.raises(OverloadedError) as caught:
            await other.reserve(1.0)
        assert caught.value.retry_after_seconds == 2.25
        now = 2.25
        await other.reserve(1.0)
        assert gateway.counted().compute_seconds == 3.25

    asyncio.run(main())


@needs_store
def test_a_rate_holds_over_gateways(store: Store) -> None:
    async def main() -> None:
        limited = key(requests_per_second=0.01, burst=10)
        async with gateways(store.url, 3) as made:
            entered = [await made[n % 3].try_enter(limited) for n in range(30)]
            assert sum(use is not None for use in entered) == 10
            with pytest.raises(OverloadedError) as caught:
                await made[0].limits.enter(limited)
            assert 90 < caught.value.retry_after_seconds <= 100
            assert sum(gateway.fallbacks for gateway in made) == 0

    asyncio.run(main())


@needs_store
def test_a_refusal_is_repeated_without_the_store_until_there_is_a_token(store: Store) -> None:
    async def main() -> None:
        limited = key(requests_per_second=1, burst=1)

        def decisions() -> int:
            """Return how often a script has read the state of a bucket."""
            calls: int = store.client().info("commandstats")["cmdstat_hmget"]["calls"]
            return calls

        async with gateways(store.url, 1) as (gateway,):
            assert await gateway.try_enter(limited)
            assert await gateway.try_enter(limited) is None
            before = decisions()
            for _ in range(50):
                assert await gateway.try_enter(limited) is None
            assert decisions() == before
            async with asyncio.timeout(5):
                while await gateway.try_enter(limited) is None:
                    await asyncio.sleep(0.02)
            assert decisions() > before

    asyncio.run(main())


@needs_store
def test_requests_at_the_same_time_are_limited_over_gateways(store: Store) -> None:
    async def main() -> None:
        limited = key(max_concurrent=2)
        async with gateways(store.url, 2) as (one, two):
            first, second = await one.try_enter(limited), await two.try_enter(limited)
            assert first
            assert second
            with pytest.raises(OverloadedError, match="2 requests under way"):
                await two.limits.enter(limited)
            await first.leave()
            third = await two.try_enter(limited)
            assert third
            await second.leave()
            await third.leave()
            assert store.client().zcard("omnivec2:keys:{alice}:leases") == 0

    asyncio.run(main())


@needs_store
def test_leases_are_renewed_and_those_of_a_dead_gateway_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_limits, "_LEASE_SECONDS", 0.4)

    async def main() -> None:
        limited = key(max_concurrent=1)
        async with gateways(store.url, 2) as (one, two):
            use = await one.try_enter(limited)
            assert use
            await asyncio.sleep(0.8)
            assert await two.try_enter(limited) is None, "renewed"
            assert one.store
            assert one.store._beating
            one.store._beating.cancel()  # as if its process had ended
            async with asyncio.timeout(5):
                while await two.try_enter(limited) is None:
                    await asyncio.sleep(0.05)

    asyncio.run(main())


@needs_store
def test_leases_that_the_store_has_lost_are_there_again(store: Store) -> None:
    async def main() -> None:
        limited = key(max_concurrent=1)
        async with gateways(store.url, 2) as (one, two):
            assert await one.try_enter(limited)
            store.kill()
            assert await one.try_enter(limited) is None, "counted here, too"
            store.start()
            client = store.client()
            await until(lambda: client.zcard("omnivec2:keys:{alice}:leases") == 1)
            assert two.store
            await until(lambda: two.store is not None and two.store.is_up)
            assert await two.try_enter(limited) is None

    asyncio.run(main())


@needs_store
def test_without_the_store_each_gateway_goes_on_with_its_share_from_where_it_stood(
    store: Store,
) -> None:
    async def main() -> None:
        limited = key(requests_per_second=0.03, burst=9, max_concurrent=30)
        async with gateways(store.url, 3) as made:
            for _ in range(2):
                assert await made[0].try_enter(limited)
            store.kill()
            granted = []
            for gateway in made:
                entered = [await gateway.try_enter(limited) for _ in range(9)]
                granted.append(sum(use is not None for use in entered))
            # A third of 9 for each, and the first has used two of its own.
            assert granted == [1, 3, 3]
            assert all(gateway.fallbacks for gateway in made)

    asyncio.run(main())


@needs_store
def test_compute_seconds_hold_over_gateways_and_are_settled_in_the_store(store: Store) -> None:
    async def main() -> None:
        limited = key(compute_seconds_per_minute=0.6, compute_burst_seconds=3)
        async with gateways(store.url, 2) as (one, two):
            use, other = await one.limits.enter(limited), await two.limits.enter(limited)
            await use.reserve(2.0)
            with pytest.raises(OverloadedError):
                await other.reserve(2.0)
            use.settle(0.5)

            def tokens() -> float:
                return float(store.client().hget("omnivec2:keys:{alice}:compute", "tokens"))

            await until(lambda: 2.4 < tokens() < 2.6)
            await other.reserve(2.0)
            other.settle(4.0)
            await until(lambda: -1.6 < tokens() < -1.4)
            store.kill()
            with pytest.raises(OverloadedError):
                await other.reserve(0.1)
            assert two.fallbacks == 1

    asyncio.run(main())


@needs_store
def test_usage_of_all_gateways_adds_up_once_though_an_addition_is_sent_again(
    store: Store,
) -> None:
    async def main() -> None:
        async with gateways(store.url, 2) as (one, two):
            for gateway in (one, one, two):
                use = await gateway.limits.enter(key())
                use.settle(0.5)
                use.record_bytes(100, 20)
            usage = one.limits.usage
            await until(lambda: not usage._new and not two.limits.usage._new)
            await asyncio.gather(usage._send(), usage._send())
            # The answer to an addition was lost: it is sent once more.
            usage.add("alice", Usage(requests=1))
            sent: list[Any] = []
            send = usage._send_addition

            async def lose_the_answer(addition: Any) -> None:
                sent.append(addition)
                await send(addition)
                if len(sent) == 1:
                    raise shared_store.StoreAwayError

            usage._send_addition = lose_the_answer  # type: ignore[method-assign]
            await until(lambda: len(sent) == 2)
            assert sent[0] is sent[1]
        found = await read_usage(store.url, days=1)
        assert found == {"alice": Usage(4, 0, 1.5, 300, 60)}
        assert await read_usage(store.url, days=400) == found

    asyncio.run(main())


@needs_store
def test_usage_is_kept_while_the_store_is_away(store: Store) -> None:
    async def main() -> None:
        async with gateways(store.url, 1) as (gateway,):
            store.kill()
            await gateway.limits.enter(key())
            await until(lambda: gateway.store is not None and not gateway.store.is_up)
            await gateway.limits.enter(key())
            store.start()
            await until(lambda: gateway.store is not None and gateway.store.is_up)
        # A gateway that ends sends what is left.
        assert await read_usage(store.url, days=1) == {"alice": Usage(requests=2)}

    asyncio.run(main())


@needs_store
def test_usage_that_never_stops_coming_does_not_hold_up_the_heartbeat(store: Store) -> None:
    async def main() -> None:
        async with gateways(store.url, 1) as (gateway,):
            usage, sent = gateway.limits.usage, 0
            send = usage._send_addition

            async def count_more(addition: Any) -> None:
                nonlocal sent
                sent += 1
                usage.add("alice", Usage(requests=1))
                await send(addition)

            usage._send_addition = count_more  # type: ignore[method-assign]
            usage.add("alice", Usage(requests=1))
            async with asyncio.timeout(5):
                await usage._send()
            assert sent == 1

    asyncio.run(main())
