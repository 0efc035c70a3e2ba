"""Where answers are remembered: this process, its siblings, and the store of all gateways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from service.monitoring.feedback import own_answers
from service.monitoring.feedback.answer_record import AnsweredHead, AnswerRecord
from service.monitoring.feedback.group_answers import GroupAnswers
from service.monitoring.feedback.own_answers import OwnAnswers
from service.monitoring.feedback.shared_answers import SharedAnswers
from service.shared_state.shared_store import SharedStore, StoreAwayError
from tests.support.outside_services.shared_state import needs_store, running_store

ROUTE = "text/sentiment"
HEAD = AnsweredHead(ROUTE, "1", "abc")


def record(request_id: str, key: str | None = None) -> AnswerRecord:
    return AnswerRecord(request_id, key, (HEAD,), b'{"sentiment": [1]}', True)


def test_a_record_survives_json() -> None:
    one = record("a/b", "alice")
    assert AnswerRecord.from_json(one.to_json()) == one
    assert one.answer_of(HEAD) == [1]


def test_an_answer_is_found_by_its_own_key_only_and_claimed_once() -> None:
    memory = OwnAnswers(10, 60)
    memory.put(record("1", "alice"))

    async def test() -> None:
        assert await memory.find("1", "alice") is not None
        assert await memory.find("1", "bob") is None
        assert await memory.find("1", None) is None
        assert not await memory.claim("1", "bob", ROUTE)
        assert await memory.claim("1", "alice", ROUTE)
        assert not await memory.claim("1", "alice", ROUTE)
        assert await memory.claim("1", "alice", "text/other")

    asyncio.run(test())


def test_the_memory_is_bounded_in_number_bytes_and_age(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    memory = OwnAnswers(3, 60, lambda: now)
    for number in range(5):
        memory.put(record(str(number)))
    assert len(memory) == 3
    assert asyncio.run(memory.find("1", None)) is None
    assert asyncio.run(memory.find("4", None)) is not None
    now += 61
    assert asyncio.run(memory.find("4", None)) is None
    memory.put(record("new"))
    assert len(memory) == 1
    monkeypatch.setattr(own_answers, "_MOST_BYTES", 1200)
    for number in range(5):
        memory.put(record(f"heavy{number}"))
    assert len(memory) == 2
    for _ in range(5):  # the same id takes the same place
        memory.put(record("heavy4"))
    assert len(memory) == 2


def test_processes_find_and_claim_the_answers_of_each_other(tmp_path: Path) -> None:
    memories = [OwnAnswers(10, 60) for _ in range(3)]
    groups = [GroupAnswers(tmp_path, place, memory) for place, memory in enumerate(memories)]
    memories[1].put(record("1", "alice"))

    async def test() -> None:
        for group in groups:
            await group.start()
        # A process that died leaves its socket behind.
        (tmp_path / "7.feedback").touch()
        assert await groups[0].find("1", "alice") == await memories[1].find("1", "alice")
        assert await groups[0].find("1", "bob") is None
        assert await groups[1].find("1", "alice") is None  # its own are not asked for here
        assert await groups[2].claim("1", "alice", ROUTE)
        assert not await groups[0].claim("1", "alice", ROUTE)
        for group in groups:
            await group.close()
            await group.close()

    asyncio.run(test())
    assert [path.name for path in tmp_path.iterdir()] == ["7.feedback"]


@asynccontextmanager
async def shared(url: str, most: int = 10) -> AsyncIterator[SharedAnswers]:
    store = SharedStore(url, timeout_seconds=5)
    await store.start()
    try:
        yield SharedAnswers(store, most, 60)
    finally:
        await store.close()


@needs_store
def test_gateways_find_and_claim_the_answers_of_each_other() -> None:
    async def test(url: str) -> None:
        async with shared(url) as one, shared(url) as other:
            one.put(replace(record("long", "alice"), body=b" " * 10_000))
            for number in range(13):
                one.put(record(str(number), "alice"))
            async with asyncio.timeout(10):
                while await other.find("12", "alice") is None:
                    await asyncio.sleep(0.01)
            assert await other.find("0", "alice") is None  # the oldest of too many
            assert await other.find("12", "bob") is None
            assert await other.find("long", "alice") is None
            assert await other.claim("12", "alice", ROUTE)
            assert not await one.claim("12", "alice", ROUTE)

    with running_store() as store:
        asyncio.run(test(store.url))


@needs_store
def test_without_its_store_nothing_waits_and_nothing_is_kept() -> None:
    async def test(url: str) -> None:
        async with shared(url) as one:
            store.kill()
            one.put(record("1"))
            with pytest.raises(StoreAwayError):
                await one.find("1", None)
            one.put(record("2"))
            assert not one._waiting

    with running_store() as store:
        asyncio.run(test(store.url))
