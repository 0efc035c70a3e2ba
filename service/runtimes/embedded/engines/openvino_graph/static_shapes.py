"""Graphs that are compiled again for the shapes of batch that come again and again.

A graph for every size of batch computes its sizes anew in each run and cannot fuse as much: for a
static shape the trunk took 4 to 15 % less time on a CPU without AMX, and 25 to 40 % less with it.
But each costs a copy of the weights. So a shape is compiled, in the background, once it has come
often; it is kept only if it was measured to be faster; and there are few of them::

    batch (7, 37) ─► static (8, 37) faster with a row to spare? ─► run that, cut a row off
                 └─► else the graph for every size, and count the shape
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.openvino_graph.compiled_graph import CompiledGraph
from service.runtimes.embedded.engines.openvino_graph.graph_comparison import (
    COMPILE_ERRORS,
    Batch,
    compare_graphs,
)
from service.server.thread_priorities import lower_thread_priority

_LOG = logging.getLogger(__name__)

_OFTEN = 100
"""Batches of a shape after which it is worth a second of compiling."""

_FORGET_EVERY = 5000
"""Batches after which all counts are halved, so that they say what comes now."""

_MUCH_MORE_OFTEN = 3
"""How much more often than the rarest static shape another one comes that takes its place."""

Shapes = tuple[tuple[int, ...], ...]
"""The shapes of a graph's inputs, in their order."""

_Key = tuple[int, Shapes]
"""The number of a graph for every size, and shapes."""


@dataclass(frozen=True)
class StaticGraph:
    """A graph for one shape of batch.

    Attributes:
        graph: The compiled graph.
        rows: The rows of its batches.
        least_rows: The fewest rows for which it is faster than the graph for every size, although
            it computes all of its rows.
    """

    graph: CompiledGraph
    rows: int
    least_rows: int

    def run(self, batch: Batch) -> dict[str, Array]:
        """Compute a batch of at most ``rows`` rows; what is missing repeats the last row."""
        given = len(next(iter(batch.values())))
        if given == self.rows:
            return self.graph.run(batch)
        missing = self.rows - given
        padded = {
            name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
            for name, array in batch.items()
        }
        return {name: array[:given] for name, array in self.graph.run(padded).items()}


class StaticShapes:
    """Chooses the shapes of one engine's graphs that are compiled once more.

    Args:
        most: The most static graphs at the same time; 0 compiles none.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._counts: Counter[_Key] = Counter()
        self._observed = 0
        # (graph, shapes without rows) -> rows -> the static graph.
        self._graphs: dict[_Key, dict[int, StaticGraph]] = {}
        self._tried: set[_Key] = set()
        self._pending = 0
        self._compiler = ThreadPoolExecutor(1, "static-shapes", initializer=lower_thread_priority)

    def __len__(self) -> int:
        return sum(len(of_shape) for of_shape in self._graphs.values())

    def count(self, owner: int) -> int:
        """Return the number of static graphs of a graph, which is given by its number."""
        with self._lock:
            return sum(len(of) for key, of in self._graphs.items() if key[0] == owner)

    def find(self, owner: int, shapes: Shapes) -> StaticGraph | None:
        """Return a static graph that is faster for such a batch.

        Args:
            owner: The number of the graph for every size.
            shapes: The shapes of its inputs.
        """
        of_shape = self._graphs.get(_without_rows((owner, shapes)))
        if not of_shape:
            return None
        rows = shapes[0][0]
        fitting = [g for g in tuple(of_shape.values()) if g.least_rows <= rows <= g.rows]
        found = min(fitting, key=lambda g: g.rows, default=None)
        if found is not None:
            with self._lock:
                self._count((owner, shapes))
        return found

    def observe(
        self,
        owner: int,
        shapes: Shapes,
        batch: Batch,
        compile_static: Callable[[], CompiledGraph],
        dynamic: CompiledGraph,
    ) -> None:
        """Count a batch; compile its shape in the background if it comes often.

        Args:
            owner: The number of the graph for every size.
            shapes: The shapes of its inputs.
            batch: The batch, on which both graphs are compared.
            compile_static: A function that compiles the graph for these shapes.
            dynamic: The graph for every size.
        """
        key = owner, shapes
        with self._lock:
            self._count(key)
            if self._counts[key] < _OFTEN or key in self._tried or not self._make_room(key):
                return
            self._tried.add(key)
            self._pending += 1
        # The inputs belong to whoever runs the batch, and may be gone by then.
        kept = {name: array.copy() for name, array in batch.items()}
        try:
            self._compiler.submit(self._compile, key, kept, compile_static, dynamic)
        except RuntimeError:
            _LOG.debug("the process ends: nothing is compiled any more")

    def forget(self, owner: int) -> None:
        """Free the static graphs of a graph that is closed."""
        with self._lock:
            for key in [key for key in self._counts if key[0] == owner]:
                del self._counts[key]
            self._tried = {key for key in self._tried if key[0] != owner}
            for key in [key for key in self._graphs if key[0] == owner]:
                for static in self._graphs.pop(key).values():
                    static.graph.close()

    def wait(self) -> None:
        """Wait until what is being compiled is done."""
        self._compiler.submit(lambda: None).result()

    def _count(self, key: _Key) -> None:
        self._counts[key] += 1
        self._observed += 1
        if self._observed % _FORGET_EVERY == 0:
            self._counts = Counter({k: n // 2 for k, n in self._counts.items() if n > 1})

    def _make_room(self, key: _Key) -> bool:
        """Whether there is room for one more, if need be in place of a shape that hardly comes."""
        if len(self) + self._pending < self._most:
            return True
        kept = [
            ((owner, _with_rows(shapes, rows)), rows)
            for (owner, shapes), of_shape in self._graphs.items()
            for rows in of_shape
        ]
        rarest, rows = min(kept, key=lambda one: self._counts[one[0]], default=(key, 0))
        if self._counts[key] <= _MUCH_MORE_OFTEN * self._counts[rarest]:
            return False
        # Runs that have it already finish with it.
        self._graphs[_without_rows(rarest)].pop(rows)
        self._tried.discard(rarest)
        return True

    def _compile(
        self,
        key: _Key,
        batch: Batch,
        compile_static: Callable[[], CompiledGraph],
        dynamic: CompiledGraph,
    ) -> None:
        _, shapes = key
        rows = shapes[0][0]
        graph, ratio, useful = None, 1.0, False
        try:
            graph = compile_static()
            compared = compare_graphs(graph, dynamic, batch)
            ratio, useful = compared.ratio, compared.is_gain
        except COMPILE_ERRORS as error:
            _LOG.info("no static graph for %s: %s", shapes, error)
        with self._lock:
            self._pending -= 1
            # Not if the graph was closed meanwhile.
            if graph is not None and useful and key in self._tried:
                static = StaticGraph(graph, rows, math.ceil(rows * ratio))
                self._graphs.setdefault(_without_rows(key), {})[rows] = static
                _LOG.info("static graph for %s: %.0f %% of the time", shapes, 100 * ratio)
            elif graph is not None:
                _LOG.info("no static graph for %s: %.0f %% of the time", shapes, 100 * ratio)
                graph.close()


def _without_rows(key: _Key) -> _Key:
    owner, shapes = key
    return owner, tuple([shape[1:] for shape in shapes])


def _with_rows(shapes: Shapes, rows: int) -> Shapes:
    return tuple([(rows, *shape) for shape in shapes])
