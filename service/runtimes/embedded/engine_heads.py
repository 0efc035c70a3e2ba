"""Heads of a repository in an engine, run without a queue: for measurements of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from service.runtimes.base import Model, generation_of
from service.runtimes.embedded.engines.base import Engine, LoadOptions
from service.runtimes.embedded.graph_runs import Graphs, run_model
from service.runtimes.embedded.repository_reader import StoredGraph, read_repository
from service.runtimes.embedded.served_graph import ServedGraph
from service.runtimes.embedded.warm_up import warm_up


@dataclass(frozen=True)
class EngineHead:
    """A head whose graphs are loaded.

    Attributes:
        model: The head and its steps.
        graphs: The graph of each step, or its own; its decoder's too, if it has one.
    """

    model: Model
    graphs: Graphs

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a batch of at most ``max_batch_size`` rows through all steps of the head.

        Raises:
            ModelNotReadyError: The engine failed, or cannot take these values.
        """
        tensors = run_model(self.model, self.graphs, inputs)
        return {tensor.name: tensors[tensor.name] for tensor in self.model.spec.outputs}

    def decode(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run one step of the decoder of a head that writes text.

        Raises:
            ModelNotReadyError: The engine failed, or the head writes no text.
        """
        generation = generation_of(self.model)
        return self.graphs[generation.decoder, generation.version].run(inputs)


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
