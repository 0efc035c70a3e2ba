"""The network inside the gateway's process: graphs, whole or in parts, in one engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from weakref import WeakKeyDictionary

from omnivec2.errors import ArtifactError, ModelNotReadyError
from omnivec2.preprocess import Array
from omnivec2.spec import model_name
from service.request_context import REQUEST
from service.runtimes.base import Health, Inference, Model, generation_of
from service.runtimes.embedded.batching.batcher import Batcher
from service.runtimes.embedded.batching.graph_pass import BatchObserver
from service.runtimes.embedded.graph_runs import Graphs
from service.runtimes.embedded.heap import freed_memory_returned
from service.runtimes.embedded.model_loader import LoadedModels, ModelLoader
from service.runtimes.embedded.private_files import PrivateFiles
from service.runtimes.embedded.repository_reader import (
    Repository,
    StoredModel,
    read_repository,
    signatures,
)
from service.runtimes.ensemble import (
    Dataflow,
    collect_answers,
    record_spans,
    resolve_dataflow,
    single_part,
)
from service.settings import Settings

_LOG = logging.getLogger(__name__)

_CLOSE_SECONDS = 2.0
"""The time that running batches have to finish. Nobody waits for their answers any more."""


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
        self._loader = ModelLoader(settings)
        self._files = PrivateFiles(settings.cache_directory)
        self._models: Mapping[str, Model] = {}
        self._signatures: Mapping[str, object] = {}
        self._refused: dict[str, str] = {}
        # Kept while a request holds the model, also after another has replaced it.
        self._graphs: WeakKeyDictionary[Model, Graphs] = WeakKeyDictionary()
        self._batcher: Batcher | None = None

    def observe(
        self,
        on_batch: Callable[[str, int, float], None],
        on_tokens: Callable[[str, int, int], None],
    ) -> None:
        """Replace the callbacks, before ``start``."""
        self._observer = BatchObserver(on_batch, on_tokens)

    async def load(self) -> None:
        """Load every model of the repository, several at a time; ``start`` then finds them loaded.

        Raises:
            ArtifactError: There is no such engine, no repository, or nothing in it can be served.
        """
        await self._load_changes()
        if not self._models:
            reasons = "; ".join(self._refused.values()) or "it is empty"
            raise ArtifactError(f"{self._settings.model_repo}: nothing can be served: {reasons}")

    async def start(self) -> None:
        """Load what is not loaded yet, and start to compute.

        Raises:
            ArtifactError: There is no such engine, no repository, or nothing in it can be served.
        """
        started = time.perf_counter()
        await self.load()
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
        # Heads of different engines have no step in common, although its name is the same.
        engines = {m.execution and (m.execution.engine, m.execution.precision) for m in models}
        if len(engines) > 1 or not all(model.steps for model in models):
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
        slower = {
            model.name: "; ".join(f"{k}: {v}" for k, v in model.execution.rejected.items())
            for model in self._models.values()
            if model.execution is not None and model.execution.rejected
        }
        required = {model_name(route) for route in self._settings.required}
        if missing := required - self._models.keys():
            detail = f"required models are not loaded: {', '.join(sorted(missing))}"
            return Health(False, detail, dict(self._refused), slower)
        return Health(True, "", dict(self._refused), slower)

    async def close(self) -> None:
        """Finish the running batches and free the graphs; see ``Runtime.close``."""
        batcher, self._batcher = self._batcher, None
        finished = batcher is None or await asyncio.to_thread(batcher.close, _CLOSE_SECONDS)
        self._models = {}
        if not finished:
            raise ModelNotReadyError(f"a batch did not finish within {_CLOSE_SECONDS:g} s")
        self._graphs.clear()
        self._loader.close()

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

    def _read_repository(self) -> Repository:
        self._files.sweep()
        settings = self._settings
        return read_repository(settings.model_repo, settings.only, self._files.directory_of)

    async def _load_changes(self) -> None:
        """Load new and changed models and drop those that are gone.

        A model whose replacement cannot be served stays.
        """
        root = self._settings.model_repo
        current = await asyncio.to_thread(signatures, root)
        if current == self._signatures:
            return
        repository = await asyncio.to_thread(self._read_repository)
        changed = [
            stored
            for name, stored in repository.models.items()
            if name not in self._models
            or _signature(stored, current) != _signature(stored, self._signatures)
        ]
        outcome = LoadedModels()
        if changed:
            with freed_memory_returned():
                outcome = await asyncio.to_thread(self._loader.load, changed, current)
        for model, graphs in outcome.models.values():
            self._graphs[model] = graphs
        loaded = {name: model for name, (model, _) in outcome.models.items()}
        present = repository.models.keys() | repository.refused.keys()
        kept = {name: model for name, model in self._models.items() if name in present}
        self._refused = dict(repository.refused) | outcome.failed
        self._signatures = current
        # ``refresh`` reports a change by this object's identity: it is replaced only by another.
        if (models := kept | loaded) != self._models:
            self._models = models
        if loaded:
            _LOG.info("%d models loaded", len(loaded))


def _signature(stored: StoredModel, current: Mapping[str, object]) -> list[object]:
    """Return a value that changes when a file of a model or of one of its parts does."""
    names = (stored.spec.name, *(graph.name for graph in stored.graphs))
    return [current.get(name) for name in names]
