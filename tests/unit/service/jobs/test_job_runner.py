"""The workers of a gateway: what becomes of a job however its work ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import (
    InvalidInputError,
    ModelNotReadyError,
    OverloadedError,
    RefusedTensorsError,
)
from service.jobs import job_runner
from service.jobs.cutting.kept_pieces import ComputedPiece, KeptPieces
from service.jobs.job import Job, JobState, Outcome, Progress
from service.jobs.job_runner import JobRunner
from service.jobs.stores.job_store import JobStoreAwayError
from service.jobs.stores.sqlite_store import SqliteJobStore
from service.jobs.turns import NoBudgetError
from tests.support.service_parts.job_stores import LIMITS, added

Answer = Callable[[Job, Path, Callable[[Progress], None], KeptPieces], Awaitable[Outcome]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_runner, "_BEAT_SECONDS", 0.02)
    monkeypatch.setattr(job_runner, "_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(job_runner, "_WAIT_SECONDS", 0.05)


class Scripted:
    """Work that ends as it is told: by outcomes, errors, or calls, in their order."""

    def __init__(self, *ends: Outcome | Exception | Answer) -> None:
        self.ends = list(ends)
        self.bodies: list[bytes] = []
        self.began = asyncio.Event()
        self.stopped = asyncio.Event()

    async def answer(
        self, job: Job, body: Path, report: Callable[[Progress], None], kept: KeptPieces
    ) -> Outcome:
        self.bodies.append(body.read_bytes())
        end = self.ends.pop(0)
        report(Progress(1, 2))
        self.began.set()
        if isinstance(end, Exception):
            raise end
        if isinstance(end, Outcome):
            return end
        try:
            return await end(job, body, report, kept)
        except asyncio.CancelledError:
            self.stopped.set()
            raise


async def forever(*_: object) -> Outcome:
    await asyncio.Event().wait()
    raise AssertionError


DONE = Outcome(JobState.DONE, 200, b'"yes"')


async def until_over(store: SqliteJobStore, job: Job) -> Job:
    async with asyncio.timeout(20):
        while True:
            found = await store.get(job.id)
            assert found is not None
            if found.state.is_final:
                return found
            await asyncio.sleep(0.01)


class Running:
    """A runner over a store, and the jobs that it said have ended."""

    def __init__(self, directory: Path, work: Scripted, timeout_seconds: float = 60) -> None:
        self.store = SqliteJobStore(directory, LIMITS)
        self.runner = JobRunner(self.store, work, 1, timeout_seconds)
        self.ended: list[Job] = []

    async def __aenter__(self) -> Running:
        await self.store.open()
        self.runner.start(self.ended.append)
        return self

    async def until_told(self) -> None:
        """Wait until a job is said to have ended, which comes after its end is stored."""
        async with asyncio.timeout(10):
            while not self.ended:
                await asyncio.sleep(0.01)

    async def __aexit__(self, *_: object) -> None:
        await self.runner.close()
        await self.store.close()


def test_an_answer_is_stored_with_the_last_progress(tmp_path: Path) -> None:
    async def main() -> None:
        work = Scripted(DONE)
        async with Running(tmp_path, work) as running:
            found = await until_over(running.store, await added(running.store))
            assert (found.outcome, found.progress) == (DONE, Progress(1, 2))
            assert work.bodies == [b"good"]
            await running.until_told()
            assert [(job.id, job.state) for job in running.ended] == [(found.id, JobState.DONE)]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidInputError("no good", field="inputs"), 422, "invalid-input"),
        (RefusedTensorsError("an index"), 503, "refused-tensors"),
        (ValueError("a defect"), 500, "omni-vec"),
    ],
)
def test_a_failure_becomes_a_problem(
    tmp_path: Path, error: Exception, status: int, kind: str
) -> None:
    async def main() -> None:
        async with Running(tmp_path, Scripted(error)) as running:
            found = await until_over(running.store, await added(running.store))
            assert found.state is JobState.FAILED
            assert found.outcome is not None
            problem = json.loads(found.outcome.body)
            assert (found.outcome.status, problem["status"]) == (status, status)
            assert problem["type"].endswith(kind)
            assert problem["instance"] == f"/jobs/{found.id}"
            assert "defect" not in problem["detail"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "error", [OverloadedError("full"), ModelNotReadyError("it starts"), NoBudgetError()]
)
def test_a_job_that_cannot_be_answered_now_is_answered_later(
    tmp_path: Path, error: Exception
) -> None:
    async def main() -> None:
        async with Running(tmp_path, Scripted(error, error, DONE)) as running:
            found = await until_over(running.store, await added(running.store))
            assert (found.outcome, found.attempts) == (DONE, 1)

    asyncio.run(main())


def test_a_job_that_takes_too_long_fails(tmp_path: Path) -> None:
    async def main() -> None:
        async with Running(tmp_path, Scripted(forever), 0.05) as running:
            found = await until_over(running.store, await added(running.store))
            assert found.outcome is not None
            assert found.outcome.status == 504

    asyncio.run(main())


@pytest.mark.parametrize("is_here", [True, False])
def test_the_work_on_a_cancelled_job_stops(tmp_path: Path, is_here: bool) -> None:
    async def main() -> None:
        work = Scripted(forever, DONE)
        async with Running(tmp_path, work) as running:
            job = await added(running.store)
            await work.began.wait()
            await running.store.finish(job.id, Outcome(JobState.CANCELLED))
            if is_here:
                running.runner.cancel(job.id)
            async with asyncio.timeout(10):
                await work.stopped.wait()
            other = await until_over(running.store, await added(running.store))
            assert other.outcome == DONE, "the worker goes on with another job"
            await running.until_told()
            assert [ended.id for ended in running.ended] == [other.id]

    asyncio.run(main())


def test_a_gateway_that_stops_gives_its_job_back(tmp_path: Path) -> None:
    async def main() -> None:
        work = Scripted(forever)
        async with Running(tmp_path, work) as running:
            job = await added(running.store)
            await work.began.wait()
            await running.runner.close()
            found = await running.store.get(job.id)
            assert found is not None
            assert (found.state, found.attempts) == (JobState.QUEUED, 0)

    asyncio.run(main())


def test_a_job_that_ended_several_gateways_is_not_begun_again(tmp_path: Path) -> None:
    async def main() -> None:
        now = [0.0]
        store = SqliteJobStore(tmp_path, LIMITS, lambda: now[0])
        await store.open()
        job = await added(store)
        for gateway in ("a", "b", "c"):
            assert await store.claim(gateway, 0) is not None
            now[0] += 2
        runner = JobRunner(store, Scripted(), 1, 60)
        runner.start(lambda _: None)
        found = await until_over(store, job)
        assert found.outcome is not None
        assert found.outcome.status == 500
        assert b"3 times" in found.outcome.body
        await runner.close()
        await store.close()

    asyncio.run(main())


def test_a_job_that_gets_on_with_each_attempt_is_begun_again(tmp_path: Path) -> None:
    async def main() -> None:
        now = [0.0]
        store = SqliteJobStore(tmp_path, LIMITS, lambda: now[0])
        await store.open()
        job = await added(store)
        piece = ComputedPiece({"sentiment": {"logits": np.zeros((1, 2))}})
        for number in range(5):
            claim = await store.claim(f"gateway {number}", 0)
            assert claim is not None
            kept = KeptPieces(store, claim)
            await kept.load("maker")
            if number < 3:  # the last two do not get on
                await kept.keep(number, piece, "maker")
            now[0] += 2
        assert len(await store.pieces(job.id)) == 3
        runner = JobRunner(store, Scripted(DONE), 1, 60)
        runner.start(lambda _: None)
        found = await until_over(store, job)
        assert (found.outcome, found.attempts) == (DONE, 6)
        await runner.close()
        await store.close()

    asyncio.run(main())


def test_the_workers_outlive_a_store_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Running(tmp_path, Scripted(DONE)) as running:
            store, claim, finish = running.store, running.store.claim, running.store.finish
            fails = [JobStoreAwayError("away"), ValueError("a defect")]

            async def claim_at_last(worker: str, seconds: float) -> object:
                if fails:
                    raise fails.pop()
                return await claim(worker, seconds)

            finishes = [JobStoreAwayError("away")]

            async def finish_at_last(job_id: str, outcome: Outcome) -> bool:
                if finishes:
                    raise finishes.pop()
                return await finish(job_id, outcome)

            async def no_beat(*_: object) -> None:
                raise JobStoreAwayError("away")

            monkeypatch.setattr(store, "claim", claim_at_last)
            monkeypatch.setattr(store, "finish", finish_at_last)
            monkeypatch.setattr(store, "beat", no_beat)
            found = await until_over(store, await added(store))
            assert found.outcome == DONE
        assert "no jobs are worked on: away" in caplog.text

    asyncio.run(main())
