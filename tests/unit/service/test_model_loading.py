from __future__ import annotations

import asyncio

import pytest

from omnivec2.errors import ArtifactError, ModelNotReadyError
from service.canary.canary_router import CanaryRouter
from service.model_loading import ModelLoader
from service.observability.gateway_metrics import Metrics
from service.pipeline.data_plane import DataPlane
from service.runtimes.base import Model
from service.settings import Settings
from tests.support.requests.asgi import SENTIMENT
from tests.support.service_parts.service_fakes import FakeRuntime
from tests.support.waiting import until

NEWER = {SENTIMENT.name: Model(SENTIMENT, "8")}


def loader_of(runtime: FakeRuntime, **given: float) -> ModelLoader:
    settings = Settings(inference_threads=1).model_copy(update=given)
    canaries = CanaryRouter(settings.model_repo, Metrics().canaries, lambda: True)
    return ModelLoader(settings, runtime, canaries, None, starts_decoders=False)


def version_of(plane: DataPlane) -> str:
    return plane.head("text", "sentiment").model.version


def test_the_heads_of_the_runtime_are_served_once_it_is_ready() -> None:
    runtime = FakeRuntime(SENTIMENT)
    runtime.failure = ModelNotReadyError("no Triton server can be reached")
    loader = loader_of(runtime)

    async def test() -> None:
        loading = asyncio.create_task(loader.load())
        await until(lambda: loader.waiting == "no Triton server can be reached")
        runtime.failure = None
        plane = await loading
        assert list(plane.heads) == ["text/sentiment"]
        plane.close()

    asyncio.run(test())


def test_a_runtime_without_heads_is_not_waited_for() -> None:
    with pytest.raises(ArtifactError, match="nothing can be served"):
        asyncio.run(loader_of(FakeRuntime()).load())


def test_changed_models_are_served_after_a_poll_that_failed() -> None:
    class Unsteady(FakeRuntime):
        """Fails at its first poll."""

        async def refresh(self) -> bool:
            changed = await super().refresh()
            if self.looks == 1:
                self.upcoming = NEWER
                raise OSError("a disk is away")
            return changed

    loader = loader_of(runtime := Unsteady(SENTIMENT), refresh_seconds=0.01)

    async def test() -> None:
        plane = await loader.load()
        assert version_of(plane) == "7"
        polling = asyncio.create_task(loader.poll(plane))
        await until(lambda: version_of(plane) == "8")
        assert runtime.looks > 1
        polling.cancel()
        await asyncio.wait((polling,))
        plane.close()

    asyncio.run(test())


def test_models_are_not_polled_without_an_interval() -> None:
    loader = loader_of(FakeRuntime(SENTIMENT), refresh_seconds=0)

    async def test() -> None:
        plane = await loader.load()
        await loader.poll(plane)
        plane.close()

    asyncio.run(test())
