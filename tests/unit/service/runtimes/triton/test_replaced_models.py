"""Models that a server replaces while it is polled, or while requests to them are under way."""

from __future__ import annotations

import asyncio
import functools
import logging

import pytest

from omnivec2.errors import StaleModelError
from service.runtimes.base import Model
from service.runtimes.triton.runtime import TritonRuntime
from tests.support.triton.fake_triton import (
    EMBEDDING,
    FakeTriton,
    ensemble,
    fake_triton,
    part,
    whole,
)
from tests.support.waiting import until
from tests.unit.service.runtimes.triton.test_runtime import LETTERS, NAME, run, runtime_of

STEP = "part_of_letters"
NEW_DIGEST = "1" * 64


def replace_whole(server: FakeTriton) -> None:
    """Replace version 1 of the head by version 2, as Triton does when it loads a model."""
    del server.models[NAME, "1"]
    server.models[NAME, "2"] = whole(EMBEDDING)


def reload_part(server: FakeTriton) -> None:
    """Add version 2 of the part; with it, version 1 gets the new configuration."""
    for version in ("1", "2"):
        server.models[STEP, version] = part(STEP, NEW_DIGEST)


def test_a_model_that_is_replaced_during_a_poll_does_not_eject_the_server() -> None:
    async def test(runtime: TritonRuntime, model: Model, server: FakeTriton) -> None:
        server.after_index.append(lambda: replace_whole(server))
        await runtime.refresh()
        assert runtime.endpoints_up == 1
        assert runtime.models()[NAME].version == "2"
        await runtime.infer(runtime.models()[NAME], LETTERS)

    run(test)


def test_a_part_that_is_reloaded_during_a_poll_is_not_taken_for_the_one_before_it() -> None:
    async def main() -> None:
        before = (ensemble(EMBEDDING, STEP), part(STEP))
        async with fake_triton(*before) as server, runtime_of(server) as runtime:
            await runtime.start()
            model = runtime.models()[NAME]
            # Polls read one configuration of those that are known, so that of the part at last.
            for _ in before:
                server.models = {(config.name, "1"): config for config in before}
                server.after_index.append(lambda: reload_part(server))
                await runtime.refresh()
                assert runtime.models()[NAME] is model
                assert (await runtime.health()).refused == {}

    asyncio.run(main())


def test_a_request_to_the_old_version_does_not_make_the_new_one_unknown() -> None:
    async def test(runtime: TritonRuntime, old: Model, server: FakeTriton) -> None:
        replace_whole(server)
        # The poll ends while the request to the old version waits for its answer.
        server.delay_seconds = 0.05
        request = asyncio.create_task(runtime.infer(old, LETTERS))
        await until(lambda: bool(server.calls))
        await runtime._endpoints[0].poll()
        with pytest.raises(StaleModelError):
            await request
        runtime._merge_models()
        assert runtime.models()[NAME].version == "2"
        await runtime.infer(runtime.models()[NAME], LETTERS)

    run(test)


def test_a_model_that_a_server_lost_stays_known_until_the_server_is_polled() -> None:
    async def test(runtime: TritonRuntime, old: Model, server: FakeTriton) -> None:
        replace_whole(server)
        for _ in range(2):
            with pytest.raises(StaleModelError):
                await runtime.infer(old, LETTERS)
            runtime._merge_models()
            assert runtime.models()[NAME] is old
        assert len(server.calls) == 1
        await runtime.refresh()
        assert runtime.models()[NAME].version == "2"

    run(test)


def test_a_server_that_replaces_models_all_the_time_keeps_what_was_read_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def add(server: FakeTriton, version: int) -> None:
        server.models["other", str(version)] = part("other")

    async def test(runtime: TritonRuntime, model: Model, server: FakeTriton) -> None:
        server.after_index = [functools.partial(add, server, version) for version in range(1, 20)]
        with caplog.at_level(logging.WARNING):
            await runtime.refresh()
        assert "replaces models all the time" in caplog.text
        assert runtime.endpoints_up == 1
        assert runtime.models()[NAME] is model
        server.after_index = []
        await runtime.refresh()
        assert runtime.models()[NAME] is model

    run(test)
