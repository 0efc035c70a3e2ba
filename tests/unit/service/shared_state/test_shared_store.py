"""The client of a store: its circuit and its heartbeat, on a real Redis."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from omnivec2.errors import ArtifactError
from service.shared_state import shared_store
from service.shared_state.shared_store import SharedStore, StoreAwayError
from tests.support.outside_services.shared_state import Store, needs_store, running_store
from tests.support.waiting import until

_ECHO = "return ARGV[1]"


@pytest.fixture(autouse=True)
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_store, "_BEAT_SECONDS", 0.05)
    monkeypatch.setattr(shared_store, "_FIRST_RETRY_SECONDS", 0.02)


@pytest.fixture
def store() -> Iterator[Store]:
    with running_store() as store:
        yield store


@asynccontextmanager
async def client(url: str, *, timeout_seconds: float = 0.2) -> AsyncIterator[SharedStore]:
    shared = SharedStore(url, timeout_seconds=timeout_seconds)
    await shared.start()
    try:
        yield shared
    finally:
        await shared.close()


async def echo(shared: SharedStore, text: str) -> str:
    answer: str = await shared.call_script(_ECHO, [], [text])
    return answer


@needs_store
def test_replicas_count_each_other_and_sign_off(store: Store) -> None:
    async def main() -> None:
        async with client(store.url) as one:
            assert (one.is_up, one.replicas) == (True, 1)
            async with client(store.url) as two:
                assert two.replicas == 2
                await until(lambda: one.replicas == 2)
            assert store.client().zrange("omnivec2:replicas", 0, -1) == [one.replica]

    asyncio.run(main())


@needs_store
def test_a_replica_that_dies_is_not_counted_for_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_store, "_ALIVE_SECONDS", 0.3)

    async def main() -> None:
        store.client().zadd("omnivec2:replicas", {"dead": time.time() * 1000})
        async with client(store.url) as one:
            assert one.replicas == 2
            await until(lambda: one.replicas == 1)

    asyncio.run(main())


@needs_store
def test_a_store_that_is_killed_costs_nothing_and_is_used_again_when_it_is_back(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with client(store.url) as one, client(store.url):
            await until(lambda: one.replicas == 2)
            store.kill()
            with pytest.raises(StoreAwayError):
                await echo(one, "lost")
            started = time.perf_counter()
            for _ in range(100):
                with pytest.raises(StoreAwayError):
                    await echo(one, "lost")
            assert time.perf_counter() - started < 2, "calls wait for a store that is away"
            assert one.replicas == 2  # as they were last seen
            store.start()
            await until(lambda: one.is_up)
            assert await echo(one, "found") == "found"
            assert one.replicas == 2  # though the other may come later

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert sum("is away" in line for line in caplog.messages) == 2, "each reports it once"


@needs_store
def test_a_store_that_hangs_is_waited_for_once_and_answers_are_not_mixed_up(store: Store) -> None:
    async def main() -> None:
        async with client(store.url) as one:
            with store.hanging():
                started = time.perf_counter()
                waiting = [echo(one, str(n)) for n in range(40)]
                results = await asyncio.gather(*waiting, return_exceptions=True)
                assert all(isinstance(result, StoreAwayError) for result in results)
                with pytest.raises(StoreAwayError):
                    await echo(one, "more")
                # Each of them, one after the other, would wait for a quarter of a second.
                assert time.perf_counter() - started < 5
            await until(lambda: one.is_up)
            wanted = [str(n) for n in range(40)]
            assert await asyncio.gather(*(echo(one, text) for text in wanted)) == wanted

    asyncio.run(main())


@needs_store
def test_a_cancelled_use_leaves_no_answer_for_the_next(store: Store) -> None:
    async def main() -> None:
        async with client(store.url) as one:
            for n in range(50):
                task = asyncio.create_task(echo(one, "cancelled"))
                for _ in range(n % 5):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait((task,))
                assert await echo(one, str(n)) == str(n)

    asyncio.run(main())


@needs_store
def test_a_store_that_cannot_be_written_is_away() -> None:
    async def main() -> None:
        with running_store("--replicaof", "127.0.0.1", "1") as copy:
            async with client(copy.url) as one:
                assert not one.is_up
                copy.client().replicaof("NO", "ONE")
                await until(lambda: one.is_up)

    asyncio.run(main())


@needs_store
def test_a_password_is_used_and_a_wrong_one_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        with running_store("--requirepass", "right") as store:
            # Asking for it needs the password, too.
            address = store.url.removeprefix("redis://")
            async with client(f"redis://:right@{address}") as one:
                assert one.is_up
            async with client(f"redis://:wrong-secret@{address}") as one:
                assert not one.is_up

    asyncio.run(main())
    assert any("invalid username-password" in line for line in caplog.messages)
    assert not any("wrong-secret" in line for line in caplog.messages)


@needs_store
def test_a_defect_in_regular_work_does_not_end_the_heartbeat(store: Store) -> None:
    calls = 0

    async def defect() -> None:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    async def main() -> None:
        async with client(store.url) as one:
            one.every_beat(defect)
            await until(lambda: calls >= 2)
            assert one.is_up

    asyncio.run(main())


def test_a_store_that_was_never_there_leaves_the_known_replicas() -> None:
    async def main() -> None:
        shared = SharedStore("redis://127.0.0.1:1", least_replicas=3)
        await shared.start()
        assert (shared.is_up, shared.replicas) == (False, 3)
        await shared.close()

    asyncio.run(main())


def test_an_option_that_the_client_does_not_know_is_refused() -> None:
    with pytest.raises(ArtifactError, match="option"):
        asyncio.run(SharedStore("redis://127.0.0.1/0?socket_timeout=soon").start())


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ArtifactError, match="shared-state"):
        asyncio.run(SharedStore("redis://127.0.0.1").start())
