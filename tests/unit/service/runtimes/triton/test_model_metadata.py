from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from omnivec2.errors import OverloadedError, StaleModelError
from omnivec2.model_config import set_reference
from service.runtimes.triton.runtime import TritonRuntime
from service.settings import Settings
from tests.support.checkpoints.references import made_up_reference
from tests.support.triton.fake_triton import (
    EMBEDDING,
    TONE,
    Code,
    FakeTriton,
    ensemble,
    fake_triton,
    part,
    passport,
    whole,
)

LETTERS = {"letters": np.array([[1.0], [2.0]], np.float32)}
NAME = EMBEDDING.name
PARTS = ("tokenizer", "trunk", "head_embedding", "head_tone")


def shared() -> list[Any]:
    """Return the configurations of two heads that share a tokenizer and a trunk."""
    return [
        *(part(name) for name in PARTS),
        ensemble(EMBEDDING, "tokenizer", "trunk", "head_embedding"),
        ensemble(TONE, "tokenizer", "trunk", "head_tone"),
    ]


def run(
    configs: list[Any],
    test: Callable[[TritonRuntime, FakeTriton], Coroutine[Any, Any, None]],
    **settings: Any,
) -> None:
    """Run a test with a started runtime of one server."""

    async def main() -> None:
        async with fake_triton(*configs) as server:
            runtime = TritonRuntime(Settings(triton_endpoints=(server.address,), **settings))
            try:
                await runtime.start()
                await test(runtime, server)
            finally:
                await runtime.close()

    asyncio.run(main())


def without_passport() -> Any:
    config = whole(TONE)
    del config.parameters["passport"]
    return config


def with_another_tensor() -> Any:
    config = whole(TONE)
    config.input[0].name = "digits"
    return config


def of_another_model() -> Any:
    config = whole(TONE)
    config.parameters["passport"].string_value = passport(NAME).model_dump_json()
    return config


def of_a_later_schema() -> Any:
    config = whole(TONE)
    spec = config.parameters["head_spec"]
    spec.string_value = spec.string_value.replace('"schema_version":1', '"schema_version":9')
    return config


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (without_passport(), "has no passport"),
        (whole(TONE, checkpoint_digest="1" * 64), "name different checkpoints"),
        (whole(TONE, tolerance=0.5), "exported with tolerance 0.5"),
        (of_another_model(), f"has the passport of {NAME}"),
        (with_another_tensor(), "takes ['digits'], its head spec says ['letters']"),
        (of_a_later_schema(), "not a head spec: schema_version"),
        (ensemble(TONE, "trunk", "head_tone"), "trunk version 1 is not ready"),
    ],
)
def test_a_model_that_is_not_in_order_is_refused_and_the_others_served(
    config: Any, reason: str
) -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        assert list(runtime.models()) == [NAME]
        health = await runtime.health()
        assert health.ready
        assert list(health.refused) == [TONE.name]
        assert health.refused[TONE.name].startswith(f"{TONE.name}: ")
        assert reason in health.refused[TONE.name]

    run([whole(EMBEDDING), config], test)


def knowing_its_training_data() -> Any:
    config = ensemble(EMBEDDING, "tokenizer", "trunk", "head_embedding")
    config.ensemble_scheduling.step[1].output_map["z"] = "f_mean"
    config.output.add(name="f_mean", data_type="TYPE_FP32", dims=[2])
    set_reference(config, made_up_reference())
    return config


def test_a_head_that_knows_its_training_data_hands_out_what_the_trunk_says_of_an_input() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        model = runtime.models()[NAME]
        assert model.familiarity is not None
        assert model.familiarity.reference == made_up_reference()
        answer = await runtime.infer(model, LETTERS)
        assert list(answer.outputs) == ["embedding", "f_mean"]
        await runtime.refresh()
        assert runtime.models()[NAME] is model

    parts = (part(name) for name in ("tokenizer", "trunk", "head_embedding"))
    run([*parts, knowing_its_training_data()], test)


def test_a_part_other_than_the_one_a_head_came_with_is_refused() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        assert list(runtime.models()) == [NAME]
        reason = (await runtime.health()).refused[TONE.name]
        assert "exported with another head_tone than version 1" in reason

    configs = [config for config in shared() if config.name != "head_tone"]
    run([*configs, part("head_tone", "5" * 64)], test)


def test_what_triton_could_not_load_is_refused_but_not_what_was_unloaded() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        server.states["image_bad", "1"] = ("UNAVAILABLE", "no such file")
        server.states["image_gone", "1"] = ("UNAVAILABLE", "unloaded")
        await runtime.refresh()
        assert (await runtime.health()).refused == {"image_bad": "image_bad: no such file"}

    run([whole(EMBEDDING)], test)


def test_models_come_change_and_go() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        first = runtime.models()[NAME]
        assert not await runtime.refresh()
        server.models[TONE.name, "1"] = whole(TONE)
        assert await runtime.refresh()
        assert runtime.models()[NAME] is first
        assert set(runtime.models()) == {NAME, TONE.name}
        server.models[NAME, "2"] = server.models.pop((NAME, "1"))
        with pytest.raises(StaleModelError):
            await runtime.infer(first, LETTERS)
        assert await runtime.refresh()
        second = runtime.models()[NAME]
        assert second.version == "2"
        await runtime.infer(second, LETTERS)
        with pytest.raises(StaleModelError):
            await runtime.infer(first, LETTERS)
        server.models.pop((NAME, "2"))
        assert await runtime.refresh()
        assert list(runtime.models()) == [TONE.name]

    run([whole(EMBEDDING)], test)


def test_a_model_changed_under_the_same_version_is_found() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        changed = EMBEDDING.model_copy(update={"description": "another"})
        server.models[NAME, "1"] = whole(changed)
        assert await runtime.refresh()
        assert runtime.models()[NAME].spec.description == "another"

    run([whole(EMBEDDING)], test)


def test_configurations_are_read_again_one_at_a_time() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        assert server.configs_read == 6
        await runtime.refresh()
        await runtime.refresh()
        assert server.configs_read == 8

    run(shared(), test)


def test_only_the_models_asked_for_are_served() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        assert list(runtime.models()) == [TONE.name]

    run([whole(EMBEDDING), whole(TONE)], test, only=("image/tone",))


def test_a_required_model_that_is_missing_makes_the_runtime_not_ready() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        health = await runtime.health()
        assert (health.ready, health.detail) == (
            False,
            "required models are not loaded: image_tone",
        )

    run([whole(EMBEDDING)], test, required=("image/tone",))


def test_parts_are_no_models_but_heads_of_parts_are() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        assert set(runtime.models()) == {NAME, TONE.name}
        steps = runtime.models()[NAME].steps
        assert [step.model for step in steps] == ["tokenizer", "trunk", "head_embedding"]

    run(shared(), test)


def test_one_head_of_parts_is_one_request() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        await runtime.infer(runtime.models()[NAME], LETTERS)
        assert [call.model for call in server.calls] == [NAME]

    run(shared(), test)


def test_heads_with_a_trunk_in_common_run_it_once() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        models = [runtime.models()[NAME], runtime.models()[TONE.name]]
        first, second = await runtime.infer_all(models, LETTERS)
        assert sorted(call.model for call in server.calls) == sorted(PARTS)
        assert {call.version for call in server.calls} == {"1"}
        np.testing.assert_array_equal(first.outputs["embedding"], LETTERS["letters"] * 1000)
        np.testing.assert_array_equal(second.outputs["embedding"], LETTERS["letters"] * 1000)

    run(shared(), test)


def test_whole_models_are_run_one_by_one() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        models = [runtime.models()[NAME], runtime.models()[TONE.name]]
        first, _ = await runtime.infer_all(models, LETTERS)
        assert {call.model for call in server.calls} == {NAME, TONE.name}
        np.testing.assert_array_equal(first.outputs["embedding"], [[1, 1], [2, 1]])

    run([whole(EMBEDDING), whole(TONE)], test)


def test_a_failing_part_is_reported_as_a_failing_model_is() -> None:
    async def test(runtime: TritonRuntime, server: FakeTriton) -> None:
        server.always = (Code.UNAVAILABLE, "Exceeds maximum queue size")
        with pytest.raises(OverloadedError):
            await runtime.infer_all(list(runtime.models().values()), LETTERS)

    run(shared(), test)


def test_of_two_servers_each_serves_what_it_has_and_the_newest_version_wins() -> None:
    async def main() -> None:
        async with fake_triton(whole(EMBEDDING)) as one, fake_triton(whole(TONE)) as other:
            other.models[NAME, "2"] = whole(EMBEDDING)
            addresses = (one.address, other.address)
            runtime = TritonRuntime(Settings(triton_endpoints=addresses))
            try:
                await runtime.start()
                models = runtime.models()
                assert models[NAME].version == "2"
                for model in models.values():
                    await runtime.infer(model, LETTERS)
                    await runtime.infer(model, LETTERS)
                assert (len(one.calls), len(other.calls)) == (0, 4)
                await other.stop()
                with pytest.raises(StaleModelError):
                    await runtime.infer(models[NAME], LETTERS)
                await runtime.infer(runtime.models()[NAME], LETTERS)
                assert len(one.calls) == 1
            finally:
                await runtime.close()

    asyncio.run(main())
