"""The loaded graphs: each once per engine and precision, for all models that share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from omnivec2.errors import ArtifactError, ModelNotReadyError
from omnivec2.passport import EnginePrecision
from service.runtimes.embedded.engine_choice.engine_options import EngineOption
from service.runtimes.embedded.engines.base import LoadOptions
from service.runtimes.embedded.graph_runs import Graphs
from service.runtimes.embedded.repository_reader import StoredGraph, StoredModel
from service.runtimes.embedded.served_graph import ServedGraph
from service.server.thread_priorities import lower_thread_priority
from service.setting_groups.work_settings import available_cores
from service.settings import Settings

Signatures = Mapping[str, object]
"""Name of a model or part -> a value that changes with its files."""

_Key = tuple[Path, object, str, EnginePrecision]
"""A version directory, the signature of its files, and the engine and precision it is loaded in."""


@dataclass(frozen=True)
class LoadedGraphs:
    """The graphs of some models in one option.

    Attributes:
        by_part: A map from version directories to graphs, or to why they cannot be loaded.
    """

    by_part: Mapping[Path, ServedGraph | Exception]

    def of(self, stored: StoredModel) -> Graphs:
        """Return the graphs of one of the models.

        Raises:
            ArtifactError: One of them could not be loaded.
            ModelNotReadyError: Its engine failed.
        """
        graphs: dict[tuple[str, str], ServedGraph] = {}
        for part in stored.graphs:
            graph = self.by_part[part.directory]
            if isinstance(graph, Exception):
                raise graph
            graphs[part.name, part.version] = graph
        return graphs


class GraphStore:
    """Loads graphs, several at a time, and keeps each for as long as a model holds it.

    Args:
        settings: The numbers of threads and the most rows of a batch.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._graphs: WeakValueDictionary[_Key, ServedGraph] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._graphs)

    @property
    def memory_bytes(self) -> int:
        """The bytes of the weights of all graphs, as far as the engines can tell."""
        return sum(graph.memory_bytes for graph in list(self._graphs.values()))

    def load(
        self, models: Sequence[StoredModel], option: EngineOption, signatures: Signatures
    ) -> LoadedGraphs:
        """Return the graphs of models in an option, each loaded once.

        Args:
            models: The models.
            option: The engine and precision.
            signatures: The signatures of the repository's files.
        """
        wanted = {_key(graph, option, signatures): graph for m in models for graph in m.graphs}
        graphs: dict[_Key, ServedGraph | Exception] = {
            key: known for key in wanted if (known := self._graphs.get(key)) is not None
        }
        missing = [(stored, option) for key, stored in wanted.items() if key not in graphs]
        # Threads that an engine starts itself have the priority of the thread that loads.
        with ThreadPoolExecutor(
            available_cores(), "load", initializer=lower_thread_priority
        ) as pool:
            loaded = pool.map(self._load, missing)
            new = {_key(stored, option, signatures): stored for stored, _ in missing}
            graphs |= dict(zip(new, loaded, strict=True))
        for key, graph in graphs.items():
            if isinstance(graph, ServedGraph):
                self._graphs[key] = graph
        return LoadedGraphs({stored.directory: graphs[key] for key, stored in wanted.items()})

    def close(self) -> None:
        """Free every graph that is still held."""
        for graph in list(self._graphs.values()):
            graph.close()

    def _load(self, wanted: tuple[StoredGraph, EngineOption]) -> ServedGraph | Exception:
        stored, option = wanted
        settings = self._settings
        options = LoadOptions(
            option.precision_of(stored),
            settings.intra_op_threads,
            settings.inference_workers,
            settings.gpu_device,
            settings.cache_directory,
            settings.static_shapes,
        )
        try:
            loaded = option.engine.load(stored, options)
            return ServedGraph(
                stored, loaded, settings.max_batch_rows, settings.max_batch_token_pairs
            )
        except (ArtifactError, ModelNotReadyError) as error:
            return error


def _key(stored: StoredGraph, option: EngineOption, signatures: Signatures) -> _Key:
    signature = signatures.get(stored.name)
    return stored.directory, signature, option.engine.name, option.precision_of(stored)
