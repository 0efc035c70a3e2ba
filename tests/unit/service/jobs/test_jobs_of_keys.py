"""Jobs of API keys: who sees a job, and what becomes of it where its key is used up or revoked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from service.access.api_keys import create_key, revoke_key
from tests.support.requests.asgi import ask, run
from tests.unit.service.jobs.test_jobs_over_http import answered, start


def test_a_job_is_seen_by_its_key_only(settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    own, other = create_key(path, "own"), create_key(path, "other", heads=["image/x"])

    async def test(app: FastAPI) -> None:
        assert (await start(app, x_api_key=other)).status == 403
        assert (await start(app)).status == 401
        reply = await start(app, x_api_key=own)
        job = await answered(app, reply, x_api_key=own)
        assert job["state"] == "done"
        for method in ("GET", "DELETE"):
            seen = await ask(app, reply.headers["location"], b"", method, x_api_key=other)
            assert seen.status == 404
        used = app.state.gateway.metrics.exposition().decode()
        assert 'omnivec2_key_compute_seconds_total{key="own"} 0.5' in used

    run(test, api_keys_file=path, **settings)


def test_a_job_of_a_revoked_key_fails(settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    own, admin = create_key(path, "own"), create_key(path, "admin")
    assert admin

    async def test(app: FastAPI) -> None:
        access = app.state.gateway.access
        app.state.gateway.admission.requests = 10**6  # no room yet
        reply = await start(app, x_api_key=own)
        revoke_key(path, "own")
        access._checked_at = float("-inf")
        app.state.gateway.admission.requests = 0
        jobs = app.state.jobs
        async with asyncio.timeout(30):
            while not (job := await jobs._store.get(reply.json["id"])).state.is_final:
                await asyncio.sleep(0.02)
        assert job.state in ("failed", "done"), "it may have been begun before"
        if job.state == "failed":
            assert job.outcome.status == 403

    run(test, api_keys_file=path, **settings)


def test_a_key_without_compute_seconds_waits(settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    poor = create_key(path, "poor", compute_seconds_per_minute=0.001, compute_burst_seconds=0.001)
    rich = create_key(path, "rich")

    async def test(app: FastAPI) -> None:
        first = await answered(app, await start(app, x_api_key=poor), x_api_key=poor)
        assert first["state"] == "done", "one is let in while the bucket is full"
        waiting = await start(app, x_api_key=poor)
        other = await answered(app, await start(app, x_api_key=rich), x_api_key=rich)
        assert other["state"] == "done", "and it keeps nobody else waiting"
        seen = await ask(app, waiting.headers["location"], b"", "GET", x_api_key=poor)
        assert seen.json["state"] in ("queued", "running")

    run(test, api_keys_file=path, **settings)
