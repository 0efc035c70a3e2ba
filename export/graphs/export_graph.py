"""Export of one graph: trace, load, compare with PyTorch, issue a passport, move into place."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import onnxruntime as ort

from export.graphs.external_weights import check_folded
from export.graphs.onnx_export import GraphFile, export_graph
from export.graphs.traceable import Traceable
from export.graphs.tracing.kept_traces import KeptTraces
from export.graphs.weight_ranges import StoredWeights
from export.parity.parity_gate import Case, check_parity
from export.passport_writer import issue_passport, write_passport
from omnivec2.atomic_files import link_or_copy
from omnivec2.checkpoint import Checkpoint
from omnivec2.engine_errors import ENGINE_ERRORS
from omnivec2.errors import ArtifactError
from omnivec2.passport import (
    GRAPH_FILE,
    INT8_GRAPH_FILE,
    NO_DEPENDENCIES,
    PASSPORT_FILE,
    WEIGHTS_FILE,
    Dependencies,
    ParityEntry,
    Passport,
)

_FAILURES: tuple[type[Exception], ...] = (ArtifactError, OSError, *ENGINE_ERRORS)


class Outcome(StrEnum):
    """The end of an export."""

    OK = "OK"
    FAIL = "FAIL"


@dataclass(frozen=True)
class ExportResult:
    """The result of exporting one graph.

    Attributes:
        name: The head, as ``<modality>/<task>``, or the part that was exported.
        outcome: The end of the export; after FAIL nothing of an earlier export is left in place.
        step: The last step that was tried: graph, load, parity or passport.
        message: The reason of a failure.
        graph_bytes: The size of the graph, without weights.
        passport: The passport that was issued; None after a failure.
        seconds: The duration of the export.
    """

    name: str
    outcome: Outcome
    step: str
    message: str = ""
    graph_bytes: int = 0
    passport: Passport | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the model is exported and answers like the network."""
        return self.outcome is Outcome.OK

    @property
    def parity(self) -> tuple[ParityEntry, ...]:
        """The comparisons of the parity gate; none after a failure."""
        return self.passport.parity if self.passport else ()


@dataclass(frozen=True)
class Exporter:
    """Exports graphs of one checkpoint into it.

    Attributes:
        checkpoint: The checkpoint.
        weights: The tensors of the checkpoint.
        opset: The ONNX operator set, at most 23.
        traces: The traces of earlier exports; None traces every module.
    """

    checkpoint: Checkpoint
    weights: StoredWeights
    opset: int
    traces: KeptTraces | None = None

    def export(
        self,
        traceable: Traceable,
        model: str,
        cases: Iterable[Case],
        target: Path,
        spec: str = "",
        dependencies: Dependencies = NO_DEPENDENCIES,
    ) -> ExportResult:
        """Export one graph; it and its passport move into place only if every step succeeds.

        Args:
            traceable: The module to trace.
            model: The name of the model in the repository.
            cases: The batches to compare at.
            target: The directory for graph and passport.
            spec: The spec of a part as JSON, for its content digest; empty for a whole head.
            dependencies: The other models that a head is run with.
        """
        for name in (PASSPORT_FILE, GRAPH_FILE, INT8_GRAPH_FILE):
            (target / name).unlink(missing_ok=True)
        progress = _Progress(traceable.name)
        with progress.catch_failure(), directory_with_weights(self.checkpoint) as directory:
            graph, parity = self._graph(traceable, cases, directory / GRAPH_FILE, progress)
            progress.step = "passport"
            passport = issue_passport(
                model,
                self.checkpoint.weights_path,
                parity,
                graph=graph,
                opset=self.opset,
                content_digest=self.weights.content_digest(graph.reads, spec) if spec else None,
                dependencies=dependencies,
            )
            target.mkdir(parents=True, exist_ok=True)
            shutil.move(graph.path, target / GRAPH_FILE)
            write_passport(passport, target / PASSPORT_FILE)
            progress.passport = passport
        return progress.result()

    def _graph(
        self, traceable: Traceable, cases: Iterable[Case], path: Path, progress: _Progress
    ) -> tuple[GraphFile, tuple[ParityEntry, ...]]:
        """Write a graph that answers like the module; a kept trace that does not is not used."""
        cases = list(cases)
        for traces in (self.traces, None):
            progress.step = "graph"
            graph = export_graph(traceable, self.weights, path, opset=self.opset, traces=traces)
            progress.graph_bytes, progress.step = graph.bytes, "load"
            try:
                session = load_folded(graph)
                progress.step = "parity"
                return graph, check_parity(traceable, session.run, cases)
            except _FAILURES:
                if not graph.is_kept:
                    raise
        raise AssertionError("a graph that was just traced is returned or raises")

    def certify(
        self,
        name: str,
        measure: Callable[[], tuple[ParityEntry, ...]],
        model: str,
        dependencies: Dependencies,
        path: Path,
    ) -> ExportResult:
        """Measure an ensemble end to end and write its passport.

        Args:
            name: The name of the ensemble in the table of results.
            measure: A function that compares the parts, one after the other, with PyTorch.
            model: The name of the model in the repository.
            dependencies: The parts of the ensemble, and its decoder if it writes text.
            path: The passport to write.
        """
        path.unlink(missing_ok=True)
        progress = _Progress(name, step="parity")
        with progress.catch_failure():
            parity = measure()
            progress.step = "passport"
            passport = issue_passport(
                model,
                self.checkpoint.weights_path,
                parity,
                opset=self.opset,
                dependencies=dependencies,
            )
            write_passport(passport, path)
            progress.passport = passport
        return progress.result()


class _Progress:
    """The state of an export that is running."""

    def __init__(self, name: str, step: str = "graph") -> None:
        self.name, self.step = name, step
        self.graph_bytes = 0
        self.passport: Passport | None = None
        self.failure: str | None = None
        self.started = time.perf_counter()

    @contextmanager
    def catch_failure(self) -> Iterator[None]:
        """Keep the reason of what may go wrong with one graph, instead of raising it."""
        try:
            yield
        except _FAILURES as error:
            self.failure = str(error)

    def result(self) -> ExportResult:
        """Return the result of the export, which has ended."""
        outcome = Outcome.OK if self.failure is None else Outcome.FAIL
        return ExportResult(
            self.name,
            outcome,
            self.step,
            self.failure or "",
            self.graph_bytes,
            self.passport,
            time.perf_counter() - self.started,
        )


def load_folded(graph: GraphFile) -> ort.InferenceSession:
    """Open a session on a graph and check that no stored weight is converted per request.

    Raises:
        ExportError: ONNX Runtime does not fold a weight, or warns of an unusable graph.
    """
    optimised = graph.path.with_name("optimised.onnx")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(optimised)
    options.log_severity_level = 3  # it warns that the optimised file is for this machine
    session = ort.InferenceSession(graph.path, options, providers=["CPUExecutionProvider"])
    check_folded(optimised)
    optimised.unlink()
    return session


@contextmanager
def directory_with_weights(checkpoint: Checkpoint) -> Iterator[Path]:
    """Yield a temporary directory with the weights in it, as a runtime will see them."""
    with tempfile.TemporaryDirectory(dir=checkpoint.directory, prefix=".export-") as name:
        directory = Path(name)
        link_or_copy(checkpoint.weights_path, directory / WEIGHTS_FILE)
        yield directory
