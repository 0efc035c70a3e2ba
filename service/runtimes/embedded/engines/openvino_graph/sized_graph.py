"""A graph for every size of batch together with those for the shapes that come often."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from omnivec2.preprocess import Array
from service.runtimes.embedded.engines.openvino_graph.compiled_graph import CompiledGraph
from service.runtimes.embedded.engines.openvino_graph.graph_comparison import Batch
from service.runtimes.embedded.engines.openvino_graph.static_shapes import StaticShapes


class SizedGraph:
    """Runs a batch in the graph for its shape if there is one, else in that for every size.

    Args:
        number: The number of the graph among those of its engine.
        dynamic: The graph for every size of batch.
        static: The engine's graphs for single shapes; None where a copy would gain too little.
        compile_static: A function that compiles it for one shape: name of an input -> its shape.

    Attributes:
        dynamic: The graph for every size of batch.
    """

    def __init__(
        self,
        number: int,
        dynamic: CompiledGraph,
        static: StaticShapes | None,
        compile_static: Callable[[Mapping[str, Sequence[int]]], CompiledGraph],
    ) -> None:
        self._number = number
        self._static = static
        self._compile_static = compile_static
        self.dynamic = dynamic

    @property
    def copies(self) -> int:
        """The number of graphs, each with the weights once."""
        return 1 + (self._static.count(self._number) if self._static else 0)

    def run(self, batch: Batch, *, counts: bool = True) -> dict[str, Array]:
        """Compute a batch; for errors see ``CompiledGraph.run``.

        Args:
            batch: The batch.
            counts: Whether it is a reason to compile a graph for its shape.
        """
        if self._static is None:
            return self.dynamic.run(batch)
        shapes = tuple([array.shape for array in batch.values()])
        if (static := self._static.find(self._number, shapes)) is not None:
            return static.run(batch)
        outputs = self.dynamic.run(batch)
        if counts:
            by_name = dict(zip(batch, shapes, strict=True))
            compile_static = partial(self._compile_static, by_name)
            self._static.observe(self._number, shapes, batch, compile_static, self.dynamic)
        return outputs

    def forget_shapes(self) -> None:
        """Free the graphs for single shapes."""
        if self._static is not None:
            self._static.forget(self._number)

    def close(self) -> None:
        """Free all graphs once their last runs have ended."""
        self.forget_shapes()
        self.dynamic.close()
