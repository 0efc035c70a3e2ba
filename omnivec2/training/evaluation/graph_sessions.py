"""Exported graphs that are run for a measurement: in ONNX Runtime, unless a runner is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from omnivec2.errors import ArtifactError
from omnivec2.generation import MEMORY, Search, SearchOptions, constant_inputs, padded_ids
from omnivec2.passport import GRAPH_FILE
from omnivec2.preprocess import Array, Sample, collate
from omnivec2.spec import HeadSpec

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Runs a batch: the tensors by name -> the outputs by name."""


@dataclass(frozen=True)
class HeadRunner:
    """The graphs of a head in some engine.

    Attributes:
        run: A function that runs the head.
        decode: A function that runs a step of its decoder; None if it writes no text.
    """

    run: Run
    decode: Run | None = None


class GraphSession:
    """A session of one graph.

    Args:
        path: The ``model.onnx`` of the graph.

    Raises:
        ArtifactError: The file does not exist.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ArtifactError(f"no graph at {path}; assemble the model repository first")
        options = ort.SessionOptions()
        options.log_severity_level = 3
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]

    def __call__(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Return arrays by output name; inputs that the graph does not take are left out."""
        arrays = self._session.run(self._outputs, {name: batch[name] for name in self._inputs})
        return dict(zip(self._outputs, map(np.asarray, arrays), strict=True))


class TextGenerator:
    """A generator of the texts of a batch, which searches for all of them step by step.

    Args:
        spec: The spec of a head with ``generation``.
        decode: A function that runs a step of its decoder.
        options: The options of the search; the head's own if not given.
    """

    def __init__(self, spec: HeadSpec, decode: Run, options: SearchOptions | None = None) -> None:
        assert spec.generation is not None
        self._spec, self._generation = spec, spec.generation
        self._options = options or SearchOptions.of(spec.generation)
        self._decode = decode

    def __call__(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Generate ``ids`` from the head's inputs and outputs."""
        rows = len(outputs[MEMORY])
        constant = constant_inputs(self._spec, inputs, outputs)
        searches = [
            Search(self._generation, self._options, ids) for ids in inputs[self._generation.source]
        ]
        while active := [row for row in range(rows) if not searches[row].done]:
            steps = [searches[row].inputs() for row in active]
            batch = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
            batch |= {name: array[active] for name, array in constant.items()}
            predicted = self._decode(batch)
            for position, row in enumerate(active):
                searches[row].advance({name: array[position] for name, array in predicted.items()})
        return padded_ids([search.ids for search in searches])


class HeadGraph:
    """A head as it is measured: it answers samples, and searches for texts if it writes them.

    Args:
        spec: The spec of the head.
        runner: The head's graphs.
    """

    def __init__(self, spec: HeadSpec, runner: HeadRunner) -> None:
        self.spec = spec
        self._run = runner.run
        self._generator = TextGenerator(spec, runner.decode) if runner.decode else None

    def __call__(self, samples: Sequence[Sample]) -> Mapping[str, Array]:
        """Run a batch.

        Returns:
            The arrays (samples, ...) by output name; for text, the ids that the search found.
        """
        batch = collate(samples)
        outputs = self._run(batch)
        return self._generator(batch, outputs) if self._generator else outputs


def open_sessions(spec: HeadSpec, repository: Path) -> HeadRunner:
    """Open the whole graph of a head in ONNX Runtime, and that of its decoder.

    Args:
        spec: The spec of the head.
        repository: The model repository in the fused layout that holds them.

    Raises:
        ArtifactError: The repository does not hold them.
    """
    run = GraphSession(repository / spec.name / "1" / GRAPH_FILE)
    if (generation := spec.generation) is None:
        return HeadRunner(run)
    return HeadRunner(
        run, GraphSession(repository / generation.decoder / generation.version / GRAPH_FILE)
    )
