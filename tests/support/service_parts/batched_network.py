"""A network of held graphs for tests of batching: tokenizers, a trunk and heads that wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from omnivec2.errors import RefusedTensorsError
from omnivec2.model_config import Step
from omnivec2.preprocess import Array
from service.runtimes.base import Inference, Model
from service.runtimes.embedded.batching.batcher import Batcher
from service.runtimes.embedded.batching.graph_pass import BatchObserver
from service.runtimes.ensemble import collect_answers, resolve_dataflow
from tests.support.service_parts.service_fakes import letters_spec

Compute = Callable[[Mapping[str, Array]], Mapping[str, Array]]
BUCKET = 8


class Graph:
    """Computes a function; remembers its batches, and can be held up at a gate."""

    max_rows = 8
    max_token_pairs = 10**6

    def __init__(
        self,
        name: str,
        compute: Compute,
        token_tensors: Collection[str] = (),
        *,
        pads: bool = True,
    ) -> None:
        self.name, self.compute, self.pads = name, compute, pads
        self.token_tensors = token_tensors
        self.batches: list[tuple[int, ...]] = []
        self.failure: Exception | None = None
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()

    def count_tokens(self, inputs: Mapping[str, Array]) -> int:
        return inputs["mask"].shape[1] if self.name == "trunk" else 0

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self.entered.set()
        assert self.gate.wait(5)
        first = next(iter(inputs.values()))
        self.batches.append(first.shape[:2])
        if self.failure is not None:
            raise self.failure
        if any((array < 0).any() for array in inputs.values()):
            raise RefusedTensorsError("no negative ones")
        return self.compute(inputs)


def tokenize(factor: float) -> Compute:
    """Return a tokenizer: one token per letter, padded to a bucket."""

    def compute(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        letters = inputs["x"]
        length = -(-letters.shape[1] // BUCKET) * BUCKET
        tokens = np.zeros((len(letters), length), np.float32)
        tokens[:, : letters.shape[1]] = letters * factor
        return {"tokens": tokens, "mask": tokens > 0}

    return compute


def scale(factor: float) -> Compute:
    """Return a head: the sum of the features, scaled."""
    return lambda inputs: {"y": inputs["features"].sum(axis=1, keepdims=True) * factor}


def add_ten(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Compute the trunk: ten more for every token that is none of the padding."""
    return {"features": (inputs["tokens"] + 10) * inputs["mask"]}


class Network:
    """Two tokenizers, a trunk and two heads, in one batcher."""

    def __init__(self, **options: int) -> None:
        self.tokens: list[tuple[str, int, int]] = []
        observer = BatchObserver(on_tokens=lambda *counts: self.tokens.append(counts))
        lengthwise = {"tokens", "mask", "features"}
        self.graphs = {
            "tokenizer_a": Graph("tokenizer_a", tokenize(1)),
            "tokenizer_b": Graph("tokenizer_b", tokenize(100)),
            "trunk": Graph("trunk", add_ten, lengthwise, pads=False),
            "head_a": Graph("head_a", scale(1)),
            "head_b": Graph("head_b", scale(-1)),
        }
        self.models: dict[str, Model] = {}
        self.batcher = Batcher(**{"workers": 1, "capacity": 99, **options}, observer=observer)

    def model(self, tokenizer: str, head: str) -> Model:
        """Return the model of a tokenizer and a head, always the same object."""
        steps = (
            Step(f"tokenizer_{tokenizer}", "1", {"x": "letters"}, {"tokens": "t", "mask": "m"}),
            Step("trunk", "1", {"tokens": "t", "mask": "m"}, {"features": "f"}),
            Step(f"head_{head}", "1", {"features": "f"}, {"y": "embedding"}),
        )
        return self.models.setdefault(tokenizer + head, Model(letters_spec(), "1", steps))

    async def infer_all(self, models: Sequence[Model], *letters: Sequence[float]):
        dataflow = resolve_dataflow(models)
        inputs = {"letters": np.array(letters, np.float32)}
        graphs = [self.graphs[node.part] for node in dataflow.nodes]
        runs = await self.batcher.submit(dataflow, graphs, inputs)
        return collect_answers(dataflow, inputs, runs)

    async def infer(self, tokenizer: str, head: str, *letters: Sequence[float]) -> Inference:
        (answer,) = await self.infer_all([self.model(tokenizer, head)], *letters)
        return answer

    async def learn_lengths(self, length: int = 2) -> None:
        """Let both tokenizers run once on letters of a length."""
        for name in "ab":
            await self.infer(name, name, [1.0] * length)
        for graph in self.graphs.values():
            graph.batches.clear()
        self.tokens.clear()


async def hold(graph: Graph, call) -> asyncio.Task:
    """Start a call and wait until it is held up in a graph."""
    graph.gate.clear()
    graph.entered.clear()
    task = asyncio.create_task(call)
    await asyncio.to_thread(graph.entered.wait, 5)
    return task


async def queued(*calls) -> list[asyncio.Task]:
    """Start calls, and return when they are in the queue."""
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    return tasks


def run(test, **options: int) -> None:
    """Run a coroutine function with a network."""

    async def main() -> None:
        network = Network(**options)
        try:
            await test(network)
        finally:
            for graph in network.graphs.values():
                graph.gate.set()
            await asyncio.to_thread(network.batcher.close)

    asyncio.run(main())


def values(answers: Sequence[Inference]) -> list[list[float]]:
    return [answer.outputs["embedding"].ravel().tolist() for answer in answers]
