"""A candidate that runs in the shadow of the served version, after its answers, and is compared."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import FastAPI

from omnivec2.canary.canary_state import CanaryLimits
from omnivec2.errors import ModelNotReadyError, OverloadedError
from service.canary.heads_request import bytes_of
from tests.support.requests.asgi import ROUTE, ask, run
from tests.support.service_parts.two_versions import TwoVersions, exposition, put, shown, versions
from tests.support.waiting import until


def test_a_shadow_is_compared_after_the_answer(tmp_path: Path) -> None:
    put(tmp_path, shadow=True, limits=CanaryLimits(max_disagreement=1.0))
    runtime = TwoVersions()
    runtime.negates = True

    async def test(app: FastAPI) -> None:
        for _ in range(5):
            assert versions([await ask(app, ROUTE)]) == {(200, "1")}
        await until(lambda: app.state.gateway.canaries.running["text/sentiment"].monitor.changes)
        (change,) = (await shown(app))["label_changes"]
        assert {change["served"], change["candidate"]} == {"no", "yes"}
        assert runtime.contexts[-1].priority.label == "low"
        runtime.candidate_failure = ModelNotReadyError("broken")
        for _ in range(8):
            assert versions([await ask(app, ROUTE)]) == {(200, "1")}
        await until(lambda: not app.state.gateway.canaries.running)
        assert "broken" in (await shown(app))["reason"]

    run(test, runtime, model_repo=tmp_path, shadow_wait_seconds=60)


def test_shadows_are_dropped_under_load_and_counted(tmp_path: Path) -> None:
    put(tmp_path, shadow=True)
    runtime = TwoVersions()

    async def test(app: FastAPI) -> None:
        shadows = app.state.gateway.canaries._shadows
        shadows._has_spare_time = lambda: False
        await ask(app, ROUTE)
        assert 'reason="load"' in await exposition(app)
        runtime.candidate_failure = OverloadedError("full")
        shadows._has_spare_time = lambda: True
        before = len(runtime.batches)
        await ask(app, ROUTE)
        await until(lambda: len(runtime.batches) == before + 2)
        assert (await shown(app))["status"] == "running"

    run(test, runtime, model_repo=tmp_path)


def test_answers_that_differ_too_often_end_a_shadow(tmp_path: Path) -> None:
    put(tmp_path, shadow=True)
    runtime = TwoVersions()
    runtime.negates = True

    async def test(app: FastAPI) -> None:
        async with asyncio.timeout(20):
            while app.state.gateway.canaries.running:
                assert versions([await ask(app, ROUTE)]) == {(200, "1")}
        assert "compared answers" in (await shown(app))["reason"]

    run(test, runtime, model_repo=tmp_path, shadow_wait_seconds=60)


def test_sizes_that_are_not_known_count_as_nothing() -> None:
    assert bytes_of([3, 2**63 - 1, 4]) == 7
