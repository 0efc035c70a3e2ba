"""Batches that nothing else is computed beside: a graph that uses all cores answers them.

A graph has a stream per worker, each of one core: under load, that answers the most requests. But
one caller who sends a request at a time keeps one core busy and waits for it::

    batch of one row ─► does nothing else run? ─┬─ yes ─► on all cores, if measured to be faster
                                                └─ no ──► in a stream of its own, on one core

The second form costs the weights once more. So it is compiled in the background, once such batches
have come often.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from service.runtimes.embedded.engines.openvino_graph.compiled_graph import CompiledGraph
from service.runtimes.embedded.engines.openvino_graph.graph_comparison import (
    COMPILE_ERRORS,
    Batch,
    compare_graphs,
)
from service.runtimes.embedded.engines.openvino_graph.sized_graph import SizedGraph
from service.server.thread_priorities import lower_thread_priority

_LOG = logging.getLogger(__name__)

_OFTEN = 150
"""Lone batches after which a second form is worth a second of compiling: more than a start with
tens of heads runs to warm them up."""

_LEAST_SAVED_SECONDS = 2e-4
"""What it must save of a batch: a small graph is not worth another set of threads."""

_MOST_THREADS = 8
"""The most cores of one row: more wait for each other longer than they compute."""


def threads_of_lone_batches(threads: int) -> int:
    """Return the number of cores for a batch that is alone.

    Args:
        threads: The number of cores that all batches together may use.
    """
    return min(threads, _MOST_THREADS)


class RunningBatches:
    """The batches that all graphs of an engine compute at this moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @contextmanager
    def add(self) -> Iterator[bool]:
        """Count a batch for as long as the block runs, and yield whether it is the only one."""
        with self._lock:
            is_alone = not self._count
            self._count += 1
        try:
            yield is_alone
        finally:
            with self._lock:
                self._count -= 1


class LoneBatches:
    """The second form of one graph, for batches of one row that are alone.

    Args:
        name: The graph's name, for the log.
        compile_graph: A function that compiles it for all cores.
    """

    _compiler = ThreadPoolExecutor(1, "lone-batches", initializer=lower_thread_priority)

    def __init__(self, name: str, compile_graph: Callable[[], SizedGraph]) -> None:
        self._name = name
        self._compile_graph = compile_graph
        self._lock = threading.Lock()
        self._left = _OFTEN
        self._graph: SizedGraph | None = None
        self._is_closed = False
        self.is_undecided = True

    @property
    def copies(self) -> int:
        """The number of graphs, each with the weights once."""
        graph = self._graph
        return graph.copies if graph is not None else 0

    def find(self, batch: Batch, usual: CompiledGraph) -> SizedGraph | None:
        """Return the second form, or count the batch and return None while there is none.

        Args:
            batch: A batch of one row that is alone.
            usual: The graph that answers it otherwise.
        """
        if self._graph is not None or not self.is_undecided:
            return self._graph
        with self._lock:
            self._left -= 1
            is_due = self._left == 0
        if is_due:
            # The inputs belong to whoever runs the batch, and may be gone by then.
            kept = {name: array.copy() for name, array in batch.items()}
            try:
                self._compiler.submit(self._compile, kept, usual)
            except RuntimeError:
                _LOG.debug("the process ends: nothing is compiled any more")
        return None

    def close(self) -> None:
        """Free the second form; there will be none any more."""
        with self._lock:
            self._is_closed = True
            graph, self._graph = self._graph, None
        self.is_undecided = False
        if graph is not None:
            graph.close()

    @classmethod
    def wait(cls) -> None:
        """Wait until what is being compiled is done."""
        cls._compiler.submit(lambda: None).result()

    def _compile(self, batch: Batch, usual: CompiledGraph) -> None:
        graph = None
        try:
            graph = self._compile_graph()
            compared = compare_graphs(graph.dynamic, usual, batch)
            saved = compared.usual_seconds - compared.seconds
            is_useful = compared.is_gain and saved >= _LEAST_SAVED_SECONDS
            _LOG.info(
                "%s alone on all cores: %.0f %% of the time", self._name, 100 * compared.ratio
            )
        except COMPILE_ERRORS as error:
            _LOG.info("%s is not compiled for all cores: %s", self._name, error)
            is_useful = False
        with self._lock:
            if graph is not None and is_useful and not self._is_closed:
                self._graph, graph = graph, None
            self.is_undecided = False
        if graph is not None:
            graph.close()
