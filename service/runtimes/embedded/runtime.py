"""ONNX Runtime inside the gateway's process: graphs whole or in parts, on the CPU."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from omnivec2.engine_errors import ENGINE_ERRORS
from omnivec2.errors import ArtifactError, ModelNotReadyError
from omnivec2.generation import constant_inputs, first_inputs
from omnivec2.preprocess import Array
from omnivec2.spec import TensorSpec, model_name
from service.request_context import SPANS
from service.runtimes.base import Health, Inference, Model, generation_of
from service.runtimes.embedded.batcher import Batcher
from service.runtimes.embedded.engines.onnxruntime_cpu import Graph
from service.runtimes.embedded.heap import compact_heap
from service.runtimes.embedded.repository_reader import (
    StoredGraph,
    StoredModel,
    read_repository,
    signatures,
)
from service.runtimes.ensemble import check_steps, walk
from service.settings import Settings, available_cores

_LOG = logging.getLogger(__name__)

_LOAD_ERRORS: tuple[type[Exception], ...] = (ArtifactError, ModelNotReadyError, *ENGINE_ERRORS)

# Any size does for the dynamic axes of the first run.
_TRIAL_LENGTH = 8

Graphs = Mapping[tuple[str, str], Graph]
"""(name, version) of a part, or of the model itself -> its graph."""


class EmbeddedRuntime:
    """Serves a model repository from this process.

    A part that several models have is loaded once. When the repository changes, what is
    new is loaded beside what runs and takes its place only if it answers.

    Args:
        settings: where the repository lies and how many threads to use.
        on_batch: told (model's or part's name, rows, seconds) of every computed batch.
    """

    def __init__(
        self,
        settings: Settings,
        on_batch: Callable[[str, int, float], None] = lambda *_: None,
    ) -> None:
        self._settings = settings
        self._on_batch = on_batch
        self._models: Mapping[str, Model] = {}
        self._seen: Mapping[str, object] = {}
        self._refused: dict[str, str] = {}
        # Kept while a request holds the model, also after another has taken its place.
        self._graphs: WeakKeyDictionary[Model, Graphs] = WeakKeyDictionary()
        self._loaded: WeakValueDictionary[tuple[Path, object], Graph] = WeakValueDictionary()
        self._batcher: Batcher | None = None

    async def start(self) -> None:
        """Load every model of the repository, several at a time.

        Raises:
            ArtifactError: there is no repository, or nothing in it can be served.
        """
        started = time.perf_counter()
        await self._take_in()
        if not self._models:
            reasons = "; ".join(self._refused.values()) or "it is empty"
            raise ArtifactError(f"{self._settings.model_repo}: nothing can be served: {reasons}")
        self._batcher = Batcher(
            workers=self._settings.inference_workers,
            capacity=self._settings.max_queue_rows,
            on_batch=self._on_batch,
        )
        seconds = time.perf_counter() - started
        _LOG.info("%d models loaded in %.1f s", len(self._models), seconds)

    def models(self) -> Mapping[str, Model]:
        """Name -> loaded model; empty until every model is loaded."""
        return self._models if self._batcher else {}

    @property
    def waiting_rows(self) -> int:
        """Samples that wait for a worker."""
        return self._batcher.waiting_rows if self._batcher else 0

    async def refresh(self) -> bool:
        """Load what changed in the repository; see ``Runtime.refresh``."""
        before = self._models
        try:
            await self._take_in()
        except ArtifactError as error:
            _LOG.error("the repository cannot be read, what is loaded stays: %s", error)
        return self._models is not before

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run a batch; see ``Runtime.infer``."""
        if model.steps:
            (inference,) = await self.infer_all([model], inputs)
            return inference
        return await self._submit(self._graphs_of(model), model.name, model.version, inputs)

    async def infer_all(
        self, models: Sequence[Model], inputs: Mapping[str, Array]
    ) -> list[Inference]:
        """Run a batch through several models; see ``Runtime.infer_all``."""
        if not all(model.steps for model in models):
            return list(await asyncio.gather(*(self.infer(model, inputs) for model in models)))
        graphs = {key: graph for m in models for key, graph in self._graphs_of(m).items()}

        async def run(name: str, version: str, given: Mapping[str, Array]) -> Inference:
            return await self._submit(graphs, name, version, given)

        return await walk(models, inputs, run)

    async def decode(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run a step of a decoder; see ``Runtime.decode``."""
        generation = generation_of(model)
        graphs = self._graphs_of(model)
        return await self._submit(graphs, generation.decoder, generation.version, inputs)

    async def health(self) -> Health:
        """Ready once every required model is loaded (any one if none is required)."""
        if self._batcher is None:
            return Health(False, "models are being loaded", dict(self._refused))
        required = {model_name(route) for route in self._settings.required}
        if missing := required - self._models.keys():
            detail = f"required models are not loaded: {', '.join(sorted(missing))}"
            return Health(False, detail, dict(self._refused))
        return Health(True, "", dict(self._refused))

    async def close(self) -> None:
        """Finish the running batches and free the sessions."""
        if self._batcher is not None:
            await asyncio.to_thread(self._batcher.close)
        self._batcher = None
        self._models = {}
        self._graphs.clear()

    def _graphs_of(self, model: Model) -> Graphs:
        if self._batcher is None or model not in self._graphs:
            raise ModelNotReadyError(f"{model.name} is not loaded")
        return self._graphs[model]

    async def _submit(
        self, graphs: Graphs, name: str, version: str, inputs: Mapping[str, Array]
    ) -> Inference:
        if self._batcher is None:
            raise ModelNotReadyError("the service is shutting down")
        started = time.perf_counter()
        inference = await self._batcher.submit(graphs[name, version], inputs)
        if spans := SPANS.get():
            spans.stage("queue", started, inference.queue_seconds, name)
            taken = started + inference.queue_seconds
            spans.stage("compute", taken, inference.compute_seconds, name)
        return inference

    async def _take_in(self) -> None:
        """Load what is new or changed, forget what went; keep what cannot be replaced."""
        root = self._settings.model_repo
        seen = await asyncio.to_thread(signatures, root)
        if seen == self._seen:
            return
        repository = await asyncio.to_thread(read_repository, root, self._settings.only)
        changed = [
            stored
            for name, stored in repository.models.items()
            if name not in self._models
            or _signature(stored, seen) != _signature(stored, self._seen)
        ]
        loaded, failed = await self._load_models(changed, seen) if changed else ({}, {})
        refused = dict(repository.refused) | failed
        there = repository.models.keys() | repository.refused.keys()
        kept = {name: model for name, model in self._models.items() if name in there}
        self._refused, self._seen = refused, seen
        # Another mapping only if it says otherwise: that is what ``refresh`` tells.
        if (models := kept | loaded) != self._models:
            self._models = models
        if loaded:
            _LOG.info("%d models loaded", len(loaded))

    async def _load_models(
        self, changed: Sequence[StoredModel], seen: Mapping[str, object]
    ) -> tuple[dict[str, Model], dict[str, str]]:
        """Name -> model that answered once, and name -> why it did not."""
        loaded: dict[str, Model] = {}
        failed: dict[str, str] = {}
        with compact_heap():
            graphs = await self._load(
                {
                    (graph.directory, seen.get(graph.name)): graph
                    for m in changed
                    for graph in m.graphs
                }
            )
            for stored in changed:
                name = stored.spec.name
                try:
                    loaded[name] = await asyncio.to_thread(self._make, stored, graphs, seen)
                except _LOAD_ERRORS as error:
                    _LOG.error("%s is not served as it is now: %s", name, error)
                    failed[name] = str(error)
        return loaded, failed

    async def _load(
        self, wanted: Mapping[tuple[Path, object], StoredGraph]
    ) -> dict[tuple[Path, object], Graph | Exception]:
        """Graphs by where they lie and what their files are; each is loaded once."""
        settings = self._settings

        def load(stored: StoredGraph) -> Graph | Exception:
            try:
                return Graph(stored, settings.intra_op_threads, settings.max_batch_rows)
            except _LOAD_ERRORS as error:
                return error

        there: dict[tuple[Path, object], Graph | Exception] = dict(self._loaded)
        missing = {key: stored for key, stored in wanted.items() if key not in there}
        with ThreadPoolExecutor(available_cores(), "load") as pool:
            loop = asyncio.get_running_loop()
            calls = [loop.run_in_executor(pool, load, stored) for stored in missing.values()]
            there |= dict(zip(missing, await asyncio.gather(*calls), strict=True))
        self._loaded.update({k: graph for k, graph in there.items() if isinstance(graph, Graph)})
        return there

    def _make(
        self,
        stored: StoredModel,
        loaded: Mapping[tuple[Path, object], Graph | Exception],
        seen: Mapping[str, object],
    ) -> Model:
        """A model whose graphs answered once.

        Raises:
            ArtifactError: its answers are not those of its head spec.
        """
        graphs: dict[tuple[str, str], Graph] = {}
        for part in stored.graphs:
            graph = loaded[part.directory, seen.get(part.name)]
            if isinstance(graph, Exception):
                raise graph
            graphs[part.name, part.version] = graph
        model = Model(stored.spec, stored.version, stored.steps)
        _try_out(model, graphs)
        self._graphs[model] = graphs
        return model


def _signature(stored: StoredModel, seen: Mapping[str, object]) -> list[object]:
    """Changes when a file of a model or of one of its parts does."""
    return [seen.get(name) for name in (stored.spec.name, *(graph.name for graph in stored.graphs))]


def _try_out(model: Model, graphs: Graphs) -> None:
    """Run zeros through a model and compare the outputs with the head spec.

    Raises:
        ArtifactError: tensors are not those the head spec names.
    """
    spec = model.spec
    tensors: dict[str, Array] = {
        tensor.name: np.zeros(
            (1, *(_TRIAL_LENGTH if size < 0 else size for size in tensor.shape)), tensor.dtype
        )
        for tensor in spec.inputs
    }
    if model.steps:
        check_steps(model)
    else:
        tensors |= graphs[model.name, model.version].run(tensors)
    for step in model.steps:
        given = {name: tensors[known] for name, known in step.inputs.items()}
        answers = graphs[step.model, step.version].run(given)
        tensors |= {known: answers[name] for name, known in step.outputs.items()}
    _check_shapes(spec.name, spec.outputs, tensors)
    if spec.generation is not None:
        outputs = {tensor.name: tensors[tensor.name] for tensor in spec.outputs}
        begin = first_inputs(spec.generation, 1) | constant_inputs(spec, tensors, outputs)
        decoder = graphs[spec.generation.decoder, spec.generation.version]
        _check_shapes(decoder.name, spec.generation.outputs, decoder.run(begin))


def _check_shapes(name: str, wanted: Sequence[TensorSpec], tensors: Mapping[str, Array]) -> None:
    for tensor in wanted:
        if tensor.name not in tensors:
            raise ArtifactError(f"{name}: nothing gives {tensor.name} of its head spec")
        shape = tensors[tensor.name].shape
        fits = len(shape) == len(tensor.shape) + 1 and all(
            want in (-1, have) for want, have in zip(tensor.shape, shape[1:], strict=True)
        )
        if not fits:
            raise ArtifactError(
                f"{name}: {tensor.name} has shape {shape[1:]}, the head spec says {tensor.shape}"
            )
