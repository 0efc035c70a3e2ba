from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import ArtifactError, ModelNotReadyError, RefusedTensorsError
from omnivec2.spec import TaskFamily, TensorSpec
from service.runtimes.base import Model
from service.runtimes.embedded import EmbeddedRuntime
from service.settings import Settings
from tests.support.tiny_models import classification, head_spec, write_model, write_repository

SENTIMENT = classification("text/sentiment", "no", "yes")
EMBEDDING = head_spec("text/embedding", TaskFamily.EMBEDDING, {"embedding": (4,)})


def tokens(*rows: list[int]) -> dict[str, np.ndarray]:
    ids = np.array(rows, np.int32)
    return {"input_ids": ids, "token_type_ids": ids * 0, "attention_mask": ids * 0 + 1}


def run(root: Path, test, **settings: object) -> None:
    async def main() -> None:
        runtime = EmbeddedRuntime(Settings(model_repo=root, **settings))  # type: ignore[arg-type]
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


def test_a_row_is_answered_alike_alone_and_in_a_batch(tmp_path: Path) -> None:
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
