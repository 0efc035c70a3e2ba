"""A runtime by itself, embedded or before a real Triton server, for tests that bring tensors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from loadtests.support.triton_server import TritonServer, running_triton
from omnivec2.arrays import Array
from service.runtimes.base import Runtime
from service.runtimes.embedded.runtime import EmbeddedRuntime
from service.runtimes.triton.runtime import TritonRuntime
from service.settings import Settings

T = TypeVar("T")
Tensors = Mapping[str, Array]
Kind = Literal["embedded", "triton"]
OnBatch = Callable[[str, int, float], None]


@dataclass(frozen=True)
class RunningRuntime:
    """A runtime that is ready, with the event loop it lives in.

    Attributes:
        runtime: The runtime that is asked.
        triton: The server behind it, if there is one.
    """

    runtime: Runtime
    triton: TritonServer | None
    _runner: asyncio.Runner

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine where the runtime lives."""
        return self._runner.run(coroutine)

    async def answer(self, name: str, inputs: Tensors) -> Tensors:
        """The outputs of a model."""
        return (await self.runtime.infer(self.runtime.models()[name], inputs)).outputs

    def answers(self, asked: Sequence[tuple[str, Tensors]], together: int = 1) -> list[Tensors]:
        """The outputs of several requests, some of them under way at the same time."""

        async def ask_all() -> list[Tensors]:
            turn = asyncio.Semaphore(together)

            async def ask(name: str, inputs: Tensors) -> Tensors:
                async with turn:
                    return await self.answer(name, inputs)

            return await asyncio.gather(*(ask(*one) for one in asked))

        return self.run(ask_all())


@contextmanager
def running_runtime(
    kind: Kind, model_repo: Path, on_batch: OnBatch = lambda *_: None, **settings: Any
) -> Iterator[RunningRuntime]:
    """Run a runtime on a model repository until the block ends.

    Args:
        kind: The kind of the runtime: embedded, or Triton with a server of its own.
        model_repo: The model repository that it serves.
        on_batch: The callback for every batch of an embedded runtime.
        settings: The settings of the gateway.
    """
    if kind == "embedded":
        # The engine that is compared with PyTorch: answers are compared closely.
        exact = {"engine": "onnxruntime", "engine_precision": "fp32", **settings}
        embedded = EmbeddedRuntime(Settings(model_repo=model_repo, **exact), on_batch)
        with _started(embedded, None) as running:
            yield running
        return
    with running_triton(model_repo) as server:
        asking = TritonRuntime(Settings(triton_endpoints=(server.grpc,), **settings))
        with _started(asking, server) as running:
            yield running


@contextmanager
def _started(runtime: Runtime, triton: TritonServer | None) -> Iterator[RunningRuntime]:
    with asyncio.Runner() as runner:
        runner.run(runtime.start())
        try:
            yield RunningRuntime(runtime, triton, runner)
        finally:
            runner.run(runtime.close())


def relative_error(got: Array, wanted: Array) -> float:
    """The largest difference, as a share of the largest value."""
    assert got.shape == wanted.shape
    assert np.isfinite(got).all()
    return float(np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1e-6))
