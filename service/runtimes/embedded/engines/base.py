"""The protocols of an engine, which loads graphs, and of a loaded graph, which runs batches.

::

    OMNIVEC2_ENGINE ─ find_engine ─► Engine ─ load(stored, options) ─► LoadedGraph ─ run(inputs)

A module of this folder whose ``ENGINE`` makes an engine is all that a new engine needs: it is
found by its name. An engine's own exceptions stay in its module; all other code sees only the
errors that are named here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from omnivec2.passport import EnginePrecision
from omnivec2.preprocess import Array
from service.runtimes.embedded.repository_reader import StoredGraph

Axis = int | str | None
"""A size; the name of a size that varies; None for a size of which nothing is known."""

Shape = tuple[Axis, ...]


@dataclass(frozen=True)
class LoadOptions:
    """How a graph is loaded.

    Attributes:
        precision: The precision to compute in. In ``int8`` a graph that has no int8 file is
            loaded in the fastest float precision that the engine has here.
        threads: The number of cores that one batch may use.
        workers: The number of batches that are computed at the same time.
        device: The index of the accelerator, among those that the process may see.
        cache_dir: The directory for what takes long to build; None builds it at every start.
        static_shapes: The most shapes of batch for which large graphs are compiled once more.
    """

    precision: EnginePrecision = "fp32"
    threads: int = 1
    workers: int = 1
    device: int = 0
    cache_dir: Path | None = None
    static_shapes: int = 0


class LoadedGraph(Protocol):
    """A graph in the memory of an engine."""

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """The tensors it takes: name -> axes, of which the first is the batch."""

    @property
    def outputs(self) -> Mapping[str, Shape]:
        """The tensors it gives: name -> axes, of which the first is the batch."""

    @property
    def memory_bytes(self) -> int:
        """The bytes of its weights, as far as the engine can tell."""

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Compute a batch; called in several threads at the same time.

        Args:
            inputs: The tensors the graph takes: name -> array (batch, ...).

        Returns:
            The outputs that the graph's configuration names: name -> array (batch, ...).

        Raises:
            RefusedTensorsError: The graph cannot take these values.
            ModelNotReadyError: The engine failed.
        """

    def close(self) -> None:
        """Free the graph's memory; it is not run any more. Idempotent."""


class Engine(Protocol):
    """Runs graphs in this process."""

    @property
    def name(self) -> str:
        """The engine's name, for logs, errors and ``/models``."""

    @property
    def version(self) -> str:
        """The version of its library: what was measured with another one is measured again."""

    @property
    def precisions(self) -> Sequence[EnginePrecision]:
        """The precisions it can compute in on this machine, the most exact first."""

    def load(self, stored: StoredGraph, options: LoadOptions) -> LoadedGraph:
        """Load a graph; called in several threads at the same time.

        Args:
            stored: The graph's files, which are those of its passport, and its configuration.
            options: The precision, one of ``precisions``, and the cores.

        Raises:
            ArtifactError: The engine cannot load it; the message names the graph.
        """
