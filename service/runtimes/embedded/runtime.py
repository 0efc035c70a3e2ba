"""The network inside the gateway's process: graphs, whole or in parts, in one engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weakref import WeakKeyDictionary, WeakValueDictionary

from omnivec2.errors import ArtifactError, ModelNotReadyError
from omnivec2.preprocess import Array
from omnivec2.spec import model_name
from service.request_context import REQUEST
from service.runtimes.base import Health, Inference, Model, generation_of
from service.runtimes.embedded.batcher import Batcher
from service.runtimes.embedded.engines.base import Engine, LoadOptions
from service.runtimes.embedded.engines.find_engine import find_engine
from service.runtimes.embedded.graph_pass import BatchObserver
from service.runtimes.embedded.heap import freed_memory_returned
from service.runtimes.embedded.repository_reader import (
    StoredGraph,
    StoredModel,
    read_repository,
    signatures,
)
from service.runtimes.embedded.served_graph import ServedGraph
from service.runtimes.embedded.warm_up import Graphs, warm_up
from service.runtimes.ensemble import (
    Dataflow,
    collect_answers,
    record_spans,
    resolve_dataflow,
    single_part,
)
from service.settings import Settings, available_cores

_LOG = logging.getLogger(__name__)

_LOAD_ERRORS = (ArtifactError, ModelNotReadyError)

_Files = tuple[Path, object]
"""A version directory and the signature of its files: the same graph while both are the same."""


class EmbeddedRuntime:
    """Serves a model repository from this process.

    A part that several models share is loaded once. When the repository changes, new graphs are
    loaded beside those that run and replace them only after a successful warm-up run.

    Args:
        settings: The place of the repository, the engine and the numbers of threads.
        on_batch: A callback for every computed batch: (model or part, rows, seconds).
        on_tokens: A callback for every batch that has masks: (model or part, real tokens,
            tokens of padding).
    """

    def __init__(
        self,
        settings: Settings,
        on_batch: Callable[[str, int, float], None] = lambda *_: None,
        on_tokens: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        self._settings = settings
        self._observer = BatchObserver(on_batch, on_tokens)
        self._engine: Engine | None = None
        self._models: Mapping[str, Model] = {}
        self._signatures: Mapping[str, object] = {}
        self._refused: dict[str, str] = {}
        # Kept while a request holds the model, also after another has replaced it.
        self._graphs: WeakKeyDictionary[Model, Graphs] = WeakKeyDictionary()
        self._loaded: WeakValueDictionary[_Files, ServedGraph] = WeakValueDictionary()
        self._batcher: Batcher | None = None

    async def start(self) -> None:
        """Load every model of the repository, several at a time.

        Raises:
            ArtifactError: There is no such engine, no repository, or nothing in it can be served.
        """
        started = time.perf_counter()
        await self._load_changes()
        if not self._models:
            reasons = "; ".join(self._refused.values()) or "it is empty"
            raise ArtifactError(f"{self._settings.model_repo}: nothing can be served: {reasons}")
        self._batcher = Batcher(
            workers=self._settings.inference_workers,
            capacity=self._settings.max_queue_rows,
            observer=self._observer,
        )
        seconds = time.perf_counter() - started
        _LOG.info("%d models loaded in %.1f s", len(self._models), seconds)

    def models(self) -> Mapping[str, Model]:
        """Return the loaded models by name; none until every model is loaded."""
        return self._models if self._batcher else {}

    @property
    def waiting_rows(self) -> int:
        """The number of samples that wait for a worker."""
        return self._batcher.waiting_rows if self._batcher else 0

    async def refresh(self) -> bool:
        """Load what changed in the repository; see ``Runtime.refresh``."""
        before = self._models
        try:
            await self._load_changes()
        except ArtifactError as error:
            _LOG.error("the repository cannot be read; the loaded models stay: %s", error)
        return self._models is not before

    async def infer(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run a batch; see ``Runtime.infer``."""
        (inference,) = await self._submit([model], resolve_dataflow([model]), inputs)
        return inference

    async def infer_all(
        self, models: Sequence[Model], inputs: Mapping[str, Array]
    ) -> list[Inference]:
        """Run a batch through several models; see ``Runtime.infer_all``."""
        if not all(model.steps for model in models):
            return list(await asyncio.gather(*(self.infer(model, inputs) for model in models)))
        return await self._submit(models, resolve_dataflow(models), inputs)

    async def decode(self, model: Model, inputs: Mapping[str, Array]) -> Inference:
        """Run one step of a decoder; see ``Runtime.decode``."""
        generation = generation_of(model)
        names = [tensor.name for tensor in generation.inputs]
        outputs = [tensor.name for tensor in generation.outputs]
        step = single_part(generation.decoder, generation.version, tuple(names), tuple(outputs))
        (inference,) = await self._submit([model], step, inputs)
        return inference

    async def health(self) -> Health:
        """Return the health: ready once every required model is loaded, or any if none is."""
        if self._batcher is None:
            return Health(False, "models are being loaded", dict(self._refused))
        required = {model_name(route) for route in self._settings.required}
        if missing := required - self._models.keys():
            detail = f"required models are not loaded: {', '.join(sorted(missing))}"
            return Health(False, detail, dict(self._refused))
        return Health(True, "", dict(self._refused))

    async def close(self) -> None:
        """Finish the running batches and free the graphs."""
        if self._batcher is not None:
            await asyncio.to_thread(self._batcher.close)
        self._batcher = None
        self._models = {}
        self._graphs.clear()
        for graph in list(self._loaded.values()):
            graph.close()

    def _graphs_of(self, model: Model) -> Graphs:
        if self._batcher is None or model not in self._graphs:
            raise ModelNotReadyError(f"{model.name} is not loaded")
        return self._graphs[model]

    async def _submit(
        self, models: Sequence[Model], dataflow: Dataflow, inputs: Mapping[str, Array]
    ) -> list[Inference]:
        """Run the nodes of a dataflow in graphs of some models; record each in the trace."""
        graphs = {key: graph for m in models for key, graph in self._graphs_of(m).items()}
        if self._batcher is None:
            raise ModelNotReadyError("the service is shutting down")
        nodes = [graphs[node.part, node.version] for node in dataflow.nodes]
        started = time.perf_counter()
        runs = await self._batcher.submit(dataflow, nodes, inputs)
        if spans := REQUEST.get().spans:
            record_spans(spans, dataflow, runs, started)
        return collect_answers(dataflow, inputs, runs)

    async def _load_changes(self) -> None:
        """Load new and changed models and drop those that are gone.

        A model whose replacement cannot be served stays.
        """
        root = self._settings.model_repo
        current = await asyncio.to_thread(signatures, root)
        if current == self._signatures:
            return
        repository = await asyncio.to_thread(read_repository, root, self._settings.only)
        changed = [
            stored
            for name, stored in repository.models.items()
            if name not in self._models
            or _signature(stored, current) != _signature(stored, self._signatures)
        ]
        loaded, failed = await self._load_models(changed, current) if changed else ({}, {})
        present = repository.models.keys() | repository.refused.keys()
        kept = {name: model for name, model in self._models.items() if name in present}
        self._refused = dict(repository.refused) | failed
        self._signatures = current
        # ``refresh`` reports a change by this object's identity: it is replaced only by another.
        if (models := kept | loaded) != self._models:
            self._models = models
        if loaded:
            _LOG.info("%d models loaded", len(loaded))

    async def _load_models(
        self, changed: Sequence[StoredModel], current: Mapping[str, object]
    ) -> tuple[dict[str, Model], dict[str, str]]:
        """Load models.

        Args:
            changed: The models to load.
            current: The signatures of the repository's files.

        Returns:
            Name -> model that has passed its warm-up run, and name -> why it has not.
        """
        loaded: dict[str, Model] = {}
        failed: dict[str, str] = {}
        with freed_memory_returned():
            graphs = await self._load_graphs(
                {
                    (graph.directory, current.get(graph.name)): graph
                    for m in changed
                    for graph in m.graphs
                }
            )
            for stored in changed:
                name = stored.spec.name
                try:
                    loaded[name] = await asyncio.to_thread(self._assemble, stored, graphs, current)
                except _LOAD_ERRORS as error:
                    _LOG.error("%s is not served as it is now: %s", name, error)
                    failed[name] = str(error)
        return loaded, failed

    async def _load_graphs(
        self, wanted: Mapping[_Files, StoredGraph]
    ) -> dict[_Files, ServedGraph | Exception]:
        """Load each graph that is not loaded yet, once; with an exception if it cannot be."""
        settings = self._settings
        if self._engine is None:
            self._engine = await asyncio.to_thread(find_engine, settings.engine)
        engine: Engine = self._engine

        def load(stored: StoredGraph) -> ServedGraph | Exception:
            try:
                options = LoadOptions("fp32", settings.intra_op_threads, settings.inference_workers)
                loaded = engine.load(stored, options)
                return ServedGraph(stored, loaded, settings.max_batch_rows)
            except _LOAD_ERRORS as error:
                return error

        graphs: dict[_Files, ServedGraph | Exception] = dict(self._loaded)
        missing = {key: stored for key, stored in wanted.items() if key not in graphs}
        with ThreadPoolExecutor(available_cores(), "load") as pool:
            loop = asyncio.get_running_loop()
            calls = [loop.run_in_executor(pool, load, stored) for stored in missing.values()]
            graphs |= dict(zip(missing, await asyncio.gather(*calls), strict=True))
        loaded = {key: g for key, g in graphs.items() if isinstance(g, ServedGraph)}
        self._loaded.update(loaded)
        mebibytes = sum(graph.memory_bytes for graph in loaded.values()) / 2**20
        _LOG.info("%s: %d graphs, %.0f MiB", engine.name, len(loaded), mebibytes)
        return graphs

    def _assemble(
        self,
        stored: StoredModel,
        loaded: Mapping[_Files, ServedGraph | Exception],
        current: Mapping[str, object],
    ) -> Model:
        """Assemble a model from its graphs, and do its warm-up run.

        Raises:
            ArtifactError: A graph cannot be loaded, or the answers are not those of the head spec.
        """
        graphs: dict[tuple[str, str], ServedGraph] = {}
        for part in stored.graphs:
            graph = loaded[part.directory, current.get(part.name)]
            if isinstance(graph, Exception):
                raise graph
            graphs[part.name, part.version] = graph
        model = Model(stored.spec, stored.version, stored.steps)
        warm_up(model, graphs)
        self._graphs[model] = graphs
        return model


def _signature(stored: StoredModel, current: Mapping[str, object]) -> list[object]:
    """Return a value that changes when a file of a model or of one of its parts does."""
    names = (stored.spec.name, *(graph.name for graph in stored.graphs))
    return [current.get(name) for name in names]
