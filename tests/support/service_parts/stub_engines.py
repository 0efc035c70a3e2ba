"""Engines for tests of the choice between engines: ONNX Runtime that errs, or takes longer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from omnivec2.accuracy_gate import Gate, write_gate
from omnivec2.digests import file_digest
from omnivec2.errors import ArtifactError
from omnivec2.passport import GATE_FILE, PASSPORT_FILE, EnginePrecision, load_passport
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec
from service.runtimes.embedded.engines.base import LoadedGraph, LoadOptions
from service.runtimes.embedded.engines.onnxruntime import OnnxRuntimeCpu
from service.runtimes.embedded.repository_reader import StoredGraph


class ErringGraph:
    """A graph whose answers are shifted more the further along the last axis, after a pause."""

    def __init__(self, graph: LoadedGraph, error: float, pause: float) -> None:
        self._graph, self._error, self._pause = graph, error, pause
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.memory_bytes = graph.memory_bytes
        self.runs = 0

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self.runs += 1
        if self._pause:
            time.sleep(self._pause)
        return {
            name: array + self._error * np.arange(array.shape[-1], dtype=array.dtype)
            for name, array in self._graph.run(inputs).items()
        }

    def close(self) -> None:
        self._graph.close()


class StubEngine:
    """ONNX Runtime under another name.

    Args:
        name: The name of the engine.
        errs_for: The heads whose graphs err, and those that cannot be loaded if ``fails``.
        pause: Seconds that a run takes longer.
        precisions: What it says it computes in; only the last of them errs.
        fails: Whether loading fails instead.
    """

    version = "1"

    def __init__(
        self,
        name: str,
        *,
        errs_for: Sequence[str] = (),
        pause: float = 0.0,
        precisions: Sequence[EnginePrecision] = ("fp32",),
        fails: bool = False,
    ) -> None:
        self.name = name
        self.precisions = precisions
        self.loaded: list[tuple[str, EnginePrecision]] = []
        self.graphs: list[ErringGraph] = []
        self._errs_for, self._pause, self._fails = errs_for, pause, fails

    def load(self, stored: StoredGraph, options: LoadOptions) -> ErringGraph:
        errs = stored.name in self._errs_for and options.precision == self.precisions[-1]
        if errs and self._fails:
            raise ArtifactError(f"{stored.name}: a stub cannot load it")
        self.loaded.append((stored.name, options.precision))
        graph = OnnxRuntimeCpu().load(stored, LoadOptions())
        self.graphs.append(ErringGraph(graph, 3.0 if errs else 0.0, self._pause))
        return self.graphs[-1]


def add_gate(repository: Path, head: HeadSpec, rows: int = 8, tolerance: float = 1.0) -> Gate:
    """Give a head of a tiny repository an accuracy gate with ONNX Runtime's own answers."""
    version = repository / head.name / "1"
    rng = np.random.default_rng(0)
    inputs = {
        tensor.name: rng.integers(
            1, 9, (rows, *(5 if size < 0 else size for size in tensor.shape))
        ).astype(tensor.dtype)
        for tensor in head.inputs
    }
    stored = StoredGraph(
        head.name, "1", version, tuple(inputs), tuple(t.name for t in head.outputs), rows
    )
    outputs = OnnxRuntimeCpu().load(stored, LoadOptions()).run(inputs)
    gate = Gate(inputs, outputs, tolerance)
    write_gate(version / GATE_FILE, gate)
    passport = load_passport(version / PASSPORT_FILE)
    files = {**passport.files, GATE_FILE: file_digest(version / GATE_FILE)}
    (version / PASSPORT_FILE).write_text(
        passport.model_copy(update={"files": files}).model_dump_json()
    )
    return gate
