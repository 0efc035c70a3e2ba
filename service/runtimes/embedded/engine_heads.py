"""Heads of a repository in an engine, run without a queue: for measurements of the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from omnivec2.errors import ArtifactError
from service.runtimes.base import Model
from service.runtimes.embedded.engines.base import Engine, LoadOptions
from service.runtimes.embedded.graph_runs import EngineHead
from service.runtimes.embedded.model_loader import ModelLoader
from service.runtimes.embedded.repository_reader import StoredGraph, read_repository, signatures
from service.runtimes.embedded.served_graph import ServedGraph
from service.runtimes.embedded.warm_up import warm_up
from service.settings import Settings


class EngineHeads:
    """The heads of a repository; a part that several have is loaded once.

    Args:
        repository: The model repository.
        engine: The engine.
        options: The precision, one of the engine's, and the cores.

    Raises:
        ArtifactError: The engine has no such precision here, or there is no repository.
    """

    def __init__(self, repository: Path, engine: Engine, options: LoadOptions) -> None:
        if options.precision not in engine.precisions:
            known = ", ".join(engine.precisions)
            raise ArtifactError(
                f"{engine.name} does not compute in {options.precision} here, but in {known}"
            )
        self._engine, self._options = engine, options
        self._repository = read_repository(repository)
        self._loaded: dict[Path, ServedGraph] = {}

    def open(self, name: str) -> EngineHead:
        """Load a head.

        Args:
            name: The head's name in the repository.

        Raises:
            ArtifactError: The head is not in the repository, or the engine cannot load it.
        """
        if name not in self._repository.models:
            raise ArtifactError(f"{name}: {self._repository.refused.get(name, 'not a head of it')}")
        stored = self._repository.models[name]
        model = Model(stored.spec, stored.version, stored.steps)
        graphs = {(graph.name, graph.version): self._load(graph) for graph in stored.graphs}
        warm_up(model, graphs)
        return EngineHead(model, graphs)

    def _load(self, stored: StoredGraph) -> ServedGraph:
        if stored.directory not in self._loaded:
            loaded = self._engine.load(stored, self._options)
            self._loaded[stored.directory] = ServedGraph(stored, loaded, stored.max_batch_size)
        return self._loaded[stored.directory]


def open_served_heads(settings: Settings) -> Callable[[str], EngineHead]:
    """Return a function that opens a head by its name, in the engine that serves it here.

    Args:
        settings: The settings that the service would have.

    Raises:
        ArtifactError: There is no repository, or the engine cannot be used here.
    """
    loader = ModelLoader(settings)
    stored = read_repository(settings.model_repo).models
    current = signatures(settings.model_repo)

    def open_head(name: str) -> EngineHead:
        if name not in stored:
            raise ArtifactError(f"{name} is not in {settings.model_repo}")
        outcome = loader.load([stored[name]], current)
        if name in outcome.failed:
            raise ArtifactError(f"{name}: {outcome.failed[name]}")
        return EngineHead(*outcome.models[name])

    return open_head
