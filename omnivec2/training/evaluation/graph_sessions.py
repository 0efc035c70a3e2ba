"""Exported graphs run by ONNX Runtime, as the service runs them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from omnivec2.errors import ArtifactError
from omnivec2.generation import MEMORY, Search, SearchOptions, constant_inputs, padded_ids
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec


class Graph:
    """One graph.

    Args:
        path: its ``model.onnx``.

    Raises:
        ArtifactError: it is not there.
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
        """Output name -> array; inputs the graph does not take are left out."""
        found = self._session.run(self._outputs, {name: batch[name] for name in self._inputs})
        return dict(zip(self._outputs, map(np.asarray, found), strict=True))


class Writer:
    """Searches for the texts of a batch, all of them a step at a time.

    Args:
        spec: of a head with ``generation``.
        repository: holds its decoder.
        options: what is searched for; the head's own unless given.
    """

    def __init__(
        self, spec: HeadSpec, repository: Path, options: SearchOptions | None = None
    ) -> None:
        assert spec.generation is not None
        self._spec, self._generation = spec, spec.generation
        self._options = options or SearchOptions.of(spec.generation)
        name, version = spec.generation.decoder, spec.generation.version
        self._graph = Graph(repository / name / version / "model.onnx")

    def __call__(
        self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> dict[str, Array]:
        """``ids`` of the head's inputs and outputs."""
        rows = len(outputs[MEMORY])
        constant = constant_inputs(self._spec, inputs, outputs)
        searches = [
            Search(self._generation, self._options, ids) for ids in inputs[self._generation.source]
        ]
        while left := [row for row in range(rows) if not searches[row].done]:
            steps = [searches[row].inputs() for row in left]
            batch = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
            found = self._graph(batch | {name: array[left] for name, array in constant.items()})
            for place, row in enumerate(left):
                searches[row].advance({name: array[place] for name, array in found.items()})
        return padded_ids([search.ids for search in searches])
