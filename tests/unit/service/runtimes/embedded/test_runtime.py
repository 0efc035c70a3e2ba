from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from export.repository.layouts import Layout
from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.spec import TaskFamily, TensorSpec
from service.runtimes.base import Model
from service.runtimes.embedded.engines.base import LoadOptions
from service.runtimes.embedded.engines.onnxruntime import OnnxRuntimeCpu, OnnxRuntimeGraph
from service.runtimes.embedded.repository_reader import StoredGraph
from service.runtimes.embedded.runtime import EmbeddedRuntime
from service.settings import Settings
from tests.support.model_repositories.tiny_graphs import trunk_part
from tests.support.model_repositories.tiny_models import (
    add_head,
    classification,
    head_spec,
    write_model,
    write_part,
    write_repository,
)

SENTIMENT = classification("text/sentiment", "no", "yes")
TOPIC = classification("text/topic", "a", "b", "c")
ACTIVITY = classification("imu/activity", "walking", "sitting")
EMBEDDING = head_spec("text/embedding", TaskFamily.EMBEDDING, {"embedding": (4,)})


def tokens(*rows: list[int]) -> dict[str, np.ndarray]:
    ids = np.array(rows, np.int32)
    return {"input_ids": ids, "token_type_ids": ids * 0, "attention_mask": ids * 0 + 1}


def run(root: Path, test, **settings: object) -> None:
    async def main() -> None:
        runtime = EmbeddedRuntime(Settings(model_repo=root, **settings))
        try:
            await test(runtime)
        finally:
            await runtime.close()

    asyncio.run(main())


def test_models_answer_in_the_shapes_of_their_spec(tmp_path: Path) -> None:
    async def test(runtime: EmbeddedRuntime) -> None:
        assert not (await runtime.health()).ready
        assert runtime.models() == {}
        await runtime.start()
        assert (await runtime.health()).ready
        assert set(runtime.models()) == {"text_sentiment", "text_embedding"}
        model = runtime.models()["text_embedding"]
        answer = await runtime.infer(model, tokens([1, 2, 3], [4, 5, 6]))
        assert answer.outputs["embedding"].shape == (2, 4)

    run(write_repository(tmp_path, [SENTIMENT, EMBEDDING]), test)


def test_tensors_the_engine_cannot_take_are_told_from_an_engine_that_failed(
    tmp_path: Path,
) -> None:
    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        inputs = {name: array[None] for name, array in tokens([1, 2]).items()}
        with pytest.raises(RefusedTensorsError, match="text_sentiment"):
            await runtime.infer(runtime.models()["text_sentiment"], inputs)

    run(write_repository(tmp_path, [SENTIMENT]), test)


def test_a_row_gets_the_same_answer_alone_and_in_a_batch(tmp_path: Path) -> None:
    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        alone = await runtime.infer(runtime.models()["text_embedding"], tokens([4, 5]))
        batch = await runtime.infer(runtime.models()["text_embedding"], tokens([1, 2], [4, 5]))
        np.testing.assert_allclose(
            alone.outputs["embedding"][0], batch.outputs["embedding"][1], rtol=1e-6
        )

    run(write_repository(tmp_path, [EMBEDDING]), test)


def test_a_model_that_is_not_what_its_spec_says_is_refused(tmp_path: Path) -> None:
    lying = EMBEDDING.model_copy(
        update={"outputs": (TensorSpec(name="embedding", dtype="float32", shape=(5,)),)}
    )
    write_model(tmp_path, SENTIMENT)
    model = write_model(tmp_path, EMBEDDING)
    config = (model / "config.pbtxt").read_text()
    assert lying.outputs[0].shape == (5,)
    (model / "config.pbtxt").write_text(config.replace('\\"shape\\":[4]', '\\"shape\\":[5]'))

    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        health = await runtime.health()
        assert set(runtime.models()) == {"text_sentiment"}
        assert "embedding" in health.refused["text_embedding"]

    run(tmp_path, test)


def test_a_missing_required_model_keeps_the_runtime_from_being_ready(tmp_path: Path) -> None:
    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        health = await runtime.health()
        assert not health.ready
        assert "text_embedding" in health.detail

    run(write_repository(tmp_path, [SENTIMENT]), test, required=("text/embedding",))


def test_a_repository_without_a_usable_model_fails(tmp_path: Path) -> None:
    model = write_model(tmp_path, SENTIMENT)
    (model / "1" / "model.onnx").write_bytes(b"")

    async def test(runtime: EmbeddedRuntime) -> None:
        with pytest.raises(ArtifactError, match="nothing can be served"):
            await runtime.start()

    run(tmp_path, test)


def test_an_engine_failure_is_not_the_fault_of_the_caller(tmp_path: Path) -> None:
    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        wrong = {name: array.astype(np.float64) for name, array in tokens([1]).items()}
        with pytest.raises(ModelNotReadyError):
            await runtime.infer(runtime.models()["text_sentiment"], wrong)
        with pytest.raises(ModelNotReadyError):
            await runtime.infer(Model(EMBEDDING), tokens([1]))

    run(write_repository(tmp_path, [SENTIMENT]), test)


# --- the shared layout, and a repository that changes ------------------------------------

HEADS = [SENTIMENT, EMBEDDING]
TWO = tokens([1, 2, 3], [4, 5, 6])


async def embed(runtime: EmbeddedRuntime, model: Model | None = None) -> np.ndarray:
    """Return the answer of the embedding head of now, or of an older model."""
    answer = await runtime.infer(model or runtime.models()["text_embedding"], TWO)
    return np.asarray(answer.outputs["embedding"])


def test_both_layouts_give_the_same_answers(tmp_path: Path) -> None:
    answers = []

    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        answers.append(await embed(runtime))

    for layout in Layout:
        run(write_repository(tmp_path / layout, HEADS, layout), test)
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-6)
    assert np.ptp(answers[0]) > 0


class RecordingEngine(OnnxRuntimeCpu):
    """Remembers the names of the graphs it has loaded."""

    loaded: ClassVar[list[str]] = []

    def load(self, stored: StoredGraph, options: LoadOptions) -> OnnxRuntimeGraph:
        self.loaded.append(stored.name)
        return super().load(stored, options)


def test_parts_that_models_have_in_common_are_loaded_once(tmp_path: Path) -> None:
    loaded = RecordingEngine.loaded
    loaded.clear()

    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        assert sorted(loaded) == [
            "head_text_embedding",
            "head_text_sentiment",
            "tokenizer_text",
            "trunk",
        ]
        loaded.clear()
        add_head(tmp_path, TOPIC, Layout.SHARED)
        await runtime.refresh()
        assert loaded == ["head_text_topic"]

    root = write_repository(tmp_path, HEADS, Layout.SHARED)
    run(root, test, engine=f"{__name__}:RecordingEngine")


@pytest.mark.parametrize("layout", Layout)
def test_a_new_model_appears_and_the_others_stay_the_objects_they_were(
    tmp_path: Path, layout: Layout
) -> None:
    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        before = runtime.models()
        assert not await runtime.refresh()
        assert runtime.models() is before
        add_head(tmp_path, EMBEDDING, layout)
        assert await runtime.refresh()
        assert set(runtime.models()) == {"text_sentiment", "text_embedding"}
        assert runtime.models()["text_sentiment"] is before["text_sentiment"]
        assert (await embed(runtime)).shape == (2, 4)

    run(write_repository(tmp_path, [SENTIMENT], layout), test)


@pytest.mark.parametrize("layout", Layout)
def test_a_model_that_goes_is_gone_but_answers_those_who_hold_it(
    tmp_path: Path, layout: Layout
) -> None:
    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        held, before = runtime.models()["text_embedding"], await embed(runtime)
        shutil.rmtree(tmp_path / "text_embedding")
        assert await runtime.refresh()
        assert set(runtime.models()) == {"text_sentiment"}
        np.testing.assert_array_equal(await embed(runtime, held), before)

    run(write_repository(tmp_path, HEADS, layout), test)


@pytest.mark.parametrize("layout", Layout)
def test_a_replaced_model_answers_anew_and_the_old_one_those_who_hold_it(
    tmp_path: Path, layout: Layout
) -> None:
    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        held, before = runtime.models()["text_embedding"], await embed(runtime)
        add_head(tmp_path, EMBEDDING, layout, scale=2.0)
        assert await runtime.refresh()
        assert runtime.models()["text_embedding"] is not held
        np.testing.assert_allclose(await embed(runtime), 2 * before, rtol=1e-6)
        np.testing.assert_array_equal(await embed(runtime, held), before)
        assert (await runtime.health()).refused == {}

    run(write_repository(tmp_path, HEADS, layout), test)


def test_a_newer_version_is_served_under_its_number(tmp_path: Path) -> None:
    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        (tmp_path / "text_embedding" / "1").rename(tmp_path / "text_embedding" / "2")
        assert await runtime.refresh()
        assert runtime.models()["text_embedding"].version == "2"
        assert (await embed(runtime)).shape == (2, 4)

    run(write_repository(tmp_path, HEADS), test)


@pytest.mark.parametrize("layout", Layout)
def test_a_broken_replacement_is_refused_by_name_while_the_old_one_answers(
    tmp_path: Path, layout: Layout
) -> None:
    broken = "text_embedding" if layout is Layout.FUSED else "head_text_embedding"

    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        held, before = runtime.models()["text_embedding"], await embed(runtime)
        (tmp_path / broken / "1" / "model.onnx").write_bytes(b"broken")
        assert not await runtime.refresh()
        assert runtime.models()["text_embedding"] is held
        refused = (await runtime.health()).refused
        assert set(refused) == {"text_embedding"}
        assert broken in refused["text_embedding"]
        np.testing.assert_array_equal(await embed(runtime), before)
        add_head(tmp_path, EMBEDDING, layout, scale=3.0)
        assert await runtime.refresh()
        assert (await runtime.health()).refused == {}
        np.testing.assert_allclose(await embed(runtime), 3 * before, rtol=1e-6)

    run(write_repository(tmp_path, HEADS, layout), test)


def test_another_trunk_under_the_old_ensembles_is_refused_by_name(tmp_path: Path) -> None:
    async def test(runtime: EmbeddedRuntime) -> None:
        await runtime.start()
        before = await embed(runtime)
        write_part(tmp_path, *trunk_part(scale=2.0))
        await runtime.refresh()
        refused = (await runtime.health()).refused
        assert set(refused) == {"text_embedding", "text_sentiment"}
        for reason in refused.values():
            assert "exported with another trunk" in reason
        np.testing.assert_array_equal(await embed(runtime), before)

    run(write_repository(tmp_path, HEADS, Layout.SHARED), test)


def test_several_models_on_one_input_share_the_steps_they_have_in_common(tmp_path: Path) -> None:
    batches: list[str] = []

    async def main() -> None:
        settings = Settings(model_repo=write_repository(tmp_path, HEADS, Layout.SHARED))
        runtime = EmbeddedRuntime(settings, lambda name, *_: batches.append(name))
        await runtime.start()
        models = [runtime.models()[head.name] for head in HEADS]
        together = await runtime.infer_all(models, TWO)
        assert sorted(batches) == [
            "head_text_embedding",
            "head_text_sentiment",
            "tokenizer_text",
            "trunk",
        ]
        for model, answer in zip(models, together, strict=True):
            alone = await runtime.infer(model, TWO)
            for name, array in alone.outputs.items():
                np.testing.assert_array_equal(answer.outputs[name], array)
        await runtime.close()

    asyncio.run(main())


def test_requests_of_all_models_and_lengths_meet_and_get_their_own_answers(tmp_path: Path) -> None:
    lengths = [3, 100, 3, 17, 19, 21, 39, 41, 250, 130, 100]
    met: list[int] = []

    async def main() -> None:
        root = write_repository(tmp_path, [EMBEDDING, ACTIVITY], Layout.SHARED)
        runtime = EmbeddedRuntime(
            Settings(model_repo=root, inference_threads=1),
            lambda name, rows, _: met.append(rows) if name == "trunk" else None,
        )
        await runtime.start()
        models = runtime.models()
        signal = {"signal": np.ones((1, *ACTIVITY.inputs[0].shape), np.float32)}
        requests = [(models["imu_activity"], signal)]
        for start, length in enumerate(lengths):
            rows = list(range(start, start + length))
            requests.append((models["text_embedding"], tokens(rows)))
        alone = [await runtime.infer(*one) for one in requests]
        met.clear()
        together = await asyncio.gather(*(runtime.infer(*one) for one in requests * 5))
        assert len(met) < len(together) / 2
        for one, other in zip(alone * 5, together, strict=True):
            for name, array in one.outputs.items():
                np.testing.assert_allclose(array, other.outputs[name], rtol=1e-6)
        await runtime.close()

    asyncio.run(main())
