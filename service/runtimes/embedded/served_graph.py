"""A loaded graph as the embedded runtime serves it, whatever its engine is."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from service.runtimes.batch_memory import tokens_in_graph
from service.runtimes.embedded.batching.token_padding import token_tensors
from service.runtimes.embedded.engines.base import LoadedGraph
from service.runtimes.embedded.repository_reader import StoredGraph


class ServedGraph:
    """A graph that computes batches until the last request that needs it is answered.

    Args:
        stored: The graph's configuration.
        loaded: The same graph in its engine; closed with this object, or when it is collected.
        max_rows: The most rows of one batch, if the graph's own limit is not lower.
        max_token_pairs: The most pairs of tokens of one batch of several rows.

    Attributes:
        name: The name of the model or part.
        max_rows: The most rows of one batch.
        max_token_pairs: The most pairs of tokens of one batch of several rows.
        pads: Whether rows of different lengths may be padded to meet in a batch.
        token_tensors: The names of its tensors of which padding may be cut off.

    Raises:
        ArtifactError: The graph's tensors are not those of its configuration.
    """

    def __init__(
        self,
        stored: StoredGraph,
        loaded: LoadedGraph,
        max_rows: int,
        max_token_pairs: int = sys.maxsize,
    ) -> None:
        self.name = stored.name
        self.max_rows = min(stored.max_batch_size, max_rows)
        self.max_token_pairs = max_token_pairs
        self.pads = _may_be_padded(loaded)
        self.token_tensors = token_tensors(loaded.inputs, loaded.outputs)
        self._loaded = loaded
        # A replaced graph is freed once the last request that holds it is answered.
        self._finalizer = weakref.finalize(self, loaded.close)
        self._finalizer.atexit = False
        takes, gives = set(loaded.inputs), set(loaded.outputs)
        if not takes <= set(stored.inputs) or not set(stored.outputs) <= gives:
            raise ArtifactError(
                f"{self.name}: the graph takes {sorted(takes)}, gives {sorted(gives)}, "
                "which are not the tensors of its configuration"
            )

    @property
    def memory_bytes(self) -> int:
        """The bytes of its weights."""
        return self._loaded.memory_bytes

    def count_tokens(self, inputs: Mapping[str, Array]) -> int:
        """Return how many tokens of one row it compares; see ``tokens_in_graph``."""
        return tokens_in_graph(self.name, self._loaded.inputs, inputs)

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Compute a batch; inputs that the graph does not use are left out.

        Raises:
            RefusedTensorsError: The graph cannot take these values.
            ModelNotReadyError: The engine failed.
        """
        takes = self._loaded.inputs
        return self._loaded.run({name: array for name, array in inputs.items() if name in takes})

    def close(self) -> None:
        """Free the graph's memory; it is not run any more."""
        self._finalizer()


def _may_be_padded(graph: LoadedGraph) -> bool:
    """Whether no output has a length that is an input's, or of which nothing is known.

    Such an output would come back with the padding on.
    """
    lengths = {axis for shape in graph.inputs.values() for axis in shape[1:]}
    given = {axis for shape in graph.outputs.values() for axis in shape[1:]}
    return not any(axis is None or (isinstance(axis, str) and axis in lengths) for axis in given)
