"""Both stores of jobs keep the same promises: on a real Redis, and in a SQLite file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from omnivec2.errors import ArtifactError, OverloadedError
from service.jobs.job import JobState, Outcome, Progress, new_id
from service.jobs.stores.job_store import JobCounts, JobStore, JobStoreAwayError, StoreLimits
from service.jobs.stores.redis_store import RedisJobStore
from service.jobs.stores.sqlite_store import SqliteJobStore
from tests.support.outside_services.shared_state import Store, needs_store, running_store
from tests.support.service_parts.job_stores import LIMITS, REQUEST, added

DONE = Outcome(JobState.DONE, 200, b'["yes"]', (("text_sentiment", "7"),), ({"code": "cut"},))
OTHER = replace(DONE, body=b'["no"]')

MakeStore = Callable[[StoreLimits], JobStore]
Check = Callable[[JobStore], Awaitable[None]]


@pytest.fixture(scope="module")
def redis() -> Iterator[Store]:
    with running_store() as store:
        yield store


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=needs_store)])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    if request.param == "sqlite":
        return lambda limits: SqliteJobStore(tmp_path / "jobs", limits)
    server: Store = request.getfixturevalue("redis")
    server.client().flushall()
    return lambda limits: RedisJobStore(server.url, tmp_path, limits)


def run(make_store: MakeStore, check: Check, limits: StoreLimits = LIMITS) -> None:
    async def main() -> None:
        store = make_store(limits)
        await store.open()
        try:
            await check(store)
        finally:
            await store.close()

    asyncio.run(main())


def test_a_job_is_found_claimed_and_answered(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        job = await added(store, b"good" * 2**19)
        assert await store.get(job.id) == job
        claim = await store.claim("a", 0)
        assert claim is not None
        assert (claim.job.id, claim.job.state, claim.job.attempts) == (job.id, JobState.RUNNING, 1)
        assert claim.job.request == REQUEST
        async with store.body(claim.job) as path:
            assert path.read_bytes() == b"good" * 2**19
        assert await store.beat(claim, Progress(1, 3)) is JobState.RUNNING
        found = await store.get(job.id)
        assert found is not None
        assert (found.progress, found.outcome) == (Progress(1, 3), None)
        assert await store.finish(job.id, DONE)
        found = await store.get(job.id)
        assert found is not None
        assert (found.state, found.outcome) == (JobState.DONE, DONE)
        assert found.finished is not None
        assert found.started is not None
        assert await store.claim("a", 0) is None

    run(make_store, check)


def test_the_first_end_that_is_stored_stays(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        job = await added(store)
        assert await store.finish(job.id, DONE)
        assert not await store.finish(job.id, OTHER)
        assert not await store.finish(job.id, Outcome(JobState.CANCELLED))
        found = await store.get(job.id)
        assert found is not None
        assert found.outcome == DONE
        assert not await store.finish(new_id(), DONE)

    run(make_store, check)


def test_the_job_of_a_silent_gateway_is_claimed_again(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        await added(store)
        lost = await store.claim("dead", 0)
        assert lost is not None
        assert await store.claim("b", 0) is None, "its lease is not over"
        last = time.monotonic() + 20
        while (claim := await store.claim("b", 0.1)) is None:
            assert time.monotonic() < last
        assert (claim.job.id, claim.job.attempts) == (lost.job.id, 2)
        assert await store.beat(lost, Progress()) is None, "the claim is another's"
        assert await store.beat(claim, Progress()) is JobState.RUNNING

    run(make_store, check)


def test_a_beat_renews_a_claim(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        await added(store)
        claim = await store.claim("a", 0)
        assert claim is not None
        for _ in range(12):  # longer than the lease
            await asyncio.sleep(0.1)
            assert await store.beat(claim, Progress()) is JobState.RUNNING
            assert await store.claim("b", 0) is None

    run(make_store, check)


def test_a_beat_tells_that_the_job_was_cancelled(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        job = await added(store)
        claim = await store.claim("a", 0)
        assert claim is not None
        assert await store.finish(job.id, Outcome(JobState.CANCELLED))
        assert await store.beat(claim, Progress()) is JobState.CANCELLED
        assert await store.counts() == JobCounts()

    run(make_store, check)


def test_pieces_outlive_the_claim_but_not_the_job(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        job = await added(store)
        claim = await store.claim("a", 0)
        assert claim is not None
        assert await store.pieces(job.id) == []
        assert await store.keep_piece(claim, 0, b"zero")
        assert await store.keep_piece(claim, 1, b"one")
        assert not await store.keep_piece(claim, 3, b"three"), "one before it is missing"
        await store.release(claim)
        assert not await store.keep_piece(claim, 2, b"two"), "the claim is lost"
        assert await store.pieces(job.id) == [b"zero", b"one"]
        claim = await store.claim("b", 0)
        assert claim is not None
        assert await store.keep_piece(claim, 1, b"another one")
        assert await store.pieces(job.id) == [b"zero", b"another one"]
        assert await store.keep_piece(claim, 0, b"anew")
        assert await store.pieces(job.id) == [b"anew"]
        await store.finish(job.id, DONE)
        assert await store.pieces(job.id) == []
        assert not await store.keep_piece(claim, 0, b"too late")

    run(make_store, check)


def test_pieces_expire_with_their_job(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        job = await added(store)
        claim = await store.claim("a", 0)
        assert claim is not None
        assert await store.keep_piece(claim, 0, b"zero")
        last = time.monotonic() + 20
        while await store.pieces(job.id):
            assert time.monotonic() < last
            await asyncio.sleep(0.05)
            await store.purge()

    run(make_store, check, replace(LIMITS, keep_seconds=0.5))


def test_a_released_job_waits_behind_the_others_and_the_attempt_does_not_count(
    make_store: MakeStore,
) -> None:
    async def check(store: JobStore) -> None:
        first, second = await added(store), await added(store)
        claim = await store.claim("a", 0)
        assert claim is not None
        assert claim.job.id == first.id
        await store.release(claim)
        assert await store.beat(claim, Progress()) is None
        order = [await store.claim("a", 0), await store.claim("b", 0)]
        assert [c.job.id for c in order if c] == [second.id, first.id]
        assert [c.job.attempts for c in order if c] == [1, 1]

    run(make_store, check)


def test_jobs_over_the_limits_are_refused(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        await added(store, owner="a")
        first = await added(store, owner="a")
        with pytest.raises(OverloadedError, match="the key a has 2 jobs"):
            await added(store, owner="a")
        with pytest.raises(OverloadedError, match="the key a has 2 jobs"):
            await store.check_room("a", 0)
        await added(store, owner="b")
        with pytest.raises(OverloadedError, match="the bodies of jobs would hold"):
            await store.check_room("", 3 * 2**20)
        await added(store)
        with pytest.raises(OverloadedError, match="4 jobs are waiting"):
            await added(store)
        await store.finish(first.id, DONE)
        await store.check_room("a", 100)

    run(make_store, check)


def test_jobs_are_counted(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        assert await store.counts() == JobCounts()
        oldest = await added(store)
        await added(store)
        await store.claim("a", 0)
        assert await store.counts() == JobCounts(1, 1, pytest.approx(oldest.created))

    run(make_store, check)


def test_a_job_expires(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        job = await added(store)
        last = time.monotonic() + 20
        while await store.get(job.id) is not None:
            assert time.monotonic() < last
            await asyncio.sleep(0.05)
        await store.purge()
        assert await store.claim("a", 0) is None
        await store.check_room("", LIMITS.body_bytes)

    run(make_store, check, replace(LIMITS, keep_seconds=0.3))


def test_a_body_that_no_job_is_made_of_is_removed(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        sink = await store.new_body(new_id())
        await sink.write(b"x" * 2**21)
        await sink.discard()
        assert await store.counts() == JobCounts()

    run(make_store, check)


def test_a_claim_waits_for_a_job(make_store: MakeStore) -> None:
    async def check(store: JobStore) -> None:
        waiting = asyncio.create_task(store.claim("a", 10))
        await asyncio.sleep(0.1)
        job = await added(store)
        claim = await waiting
        assert claim is not None
        assert claim.job.id == job.id

    run(make_store, check)


def test_two_gateways_share_a_file(tmp_path: Path) -> None:
    async def main() -> None:
        stores = [SqliteJobStore(tmp_path, LIMITS) for _ in range(2)]
        for store in stores:
            await store.open()
        jobs = [await added(stores[0]) for _ in range(4)]
        claims = await asyncio.gather(*(stores[n % 2].claim(f"{n}", 1) for n in range(4)))
        assert sorted(c.job.id for c in claims if c) == sorted(job.id for job in jobs)
        for store in stores:
            await store.close()

    asyncio.run(main())


def test_old_bodies_without_a_job_are_purged(tmp_path: Path) -> None:
    async def main() -> None:
        now = [time.time()]
        store = SqliteJobStore(tmp_path, LIMITS, lambda: now[0])
        await store.open()
        sink = await store.new_body("left-behind")
        await sink.write(b"x")
        kept = await added(store)
        await store.purge()
        assert (tmp_path / "bodies" / "left-behind").exists()
        now[0] += 3700
        await store.purge()
        assert not list((tmp_path / "bodies").iterdir()), f"{kept.id} has expired, too"
        await store.close()
        with pytest.raises(JobStoreAwayError, match=r"closed|shutdown"):
            await store.counts()

    asyncio.run(main())


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for store in (
        SqliteJobStore(tmp_path / "file" / "jobs", LIMITS),
        RedisJobStore("redis://127.0.0.1:1", tmp_path / "file" / "jobs", LIMITS),
    ):
        with pytest.raises(ArtifactError, match="cannot be kept in"):
            asyncio.run(store.open())


def test_a_redis_that_is_away_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        store = RedisJobStore("redis://user:secret@127.0.0.1:1", tmp_path, LIMITS)
        with pytest.raises(JobStoreAwayError, match="closed"):
            await store.counts()
        await store.open()
        with pytest.raises(JobStoreAwayError, match=r"at 127\.0\.0\.1:1 is away") as caught:
            await store.get(new_id())
        assert "secret" not in str(caught.value)
        await store.close()

    asyncio.run(main())
