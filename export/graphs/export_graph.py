"""Export of one graph: trace, load, compare with PyTorch, issue a passport, put in place."""

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
from export.graphs.onnx_export import Graph, export_graph
from export.graphs.traceable import Traceable
from export.graphs.weight_ranges import StoredWeights
from export.parity.agreement import ENGINE_ERRORS
from export.parity.parity_gate import Case, check_parity
from export.passport_writer import issue_passport, write_passport
from omnivec2.atomic_files import link_or_copy
from omnivec2.checkpoint import Checkpoint
from omnivec2.errors import ArtifactError
from omnivec2.passport import GRAPH_FILE, PASSPORT_FILE, WEIGHTS_FILE, ParityEntry

_FAILURES: tuple[type[Exception], ...] = (ArtifactError, OSError, *ENGINE_ERRORS)


class Outcome(StrEnum):
    """How an export ended."""

    OK = "OK"
    FAIL = "FAIL"


@dataclass(frozen=True)
class ExportResult:
    """One graph's export.

    Attributes:
        route: ``<modality>/<task>``, or a part's name.
        outcome: OK, or FAIL: then nothing of an earlier export is left in place.
        step: the last step that was tried: graph, load, parity or passport.
        message: why it failed.
        graph_bytes: size of the graph, without weights.
        parity: what the gate measured.
        seconds: how long it took.
    """

    route: str
    outcome: Outcome
    step: str
    message: str = ""
    graph_bytes: int = 0
    parity: tuple[ParityEntry, ...] = ()
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the model is exported and answers like the network."""
        return self.outcome is Outcome.OK


@dataclass(frozen=True)
class Exporter:
    """What all exports of a checkpoint have in common.

    Attributes:
        source: the checkpoint.
        weights: its tensors.
        opset: ONNX operator set, at most 23.
    """

    source: Checkpoint
    weights: StoredWeights
    opset: int

    def export(
        self,
        traceable: Traceable,
        model: str,
        cases: Iterable[Case],
        target: Path,
        spec: str = "",
        decoder: str | None = None,
    ) -> ExportResult:
        """Export one graph; it and its passport are put in place only if every step is OK.

        Args:
            traceable: what to trace.
            model: its name in the repository.
            cases: batches to compare at.
            target: directory for graph and passport.
            spec: of a part, for its content digest; nothing for a whole route.
            decoder: content digest of a whole route's decoder, if it writes text.
        """
        for name in (PASSPORT_FILE, GRAPH_FILE):
            (target / name).unlink(missing_ok=True)
        progress = _Progress(traceable.name)
        with progress.caught(), _workshop(self.source) as workshop:
            graph = export_graph(traceable, self.weights, workshop / GRAPH_FILE, opset=self.opset)
            progress.graph_bytes, progress.step = graph.bytes, "load"
            session = load_folded(graph)
            progress.step = "parity"
            progress.parity = check_parity(traceable, session.run, cases)
            progress.step = "passport"
            passport = issue_passport(
                model,
                self.source.weights_path,
                progress.parity,
                graph=graph,
                opset=self.opset,
                content_digest=self.weights.content_digest(graph.reads, spec) if spec else None,
                decoder=decoder,
            )
            target.mkdir(parents=True, exist_ok=True)
            shutil.move(graph.path, target / GRAPH_FILE)
            write_passport(passport, target / PASSPORT_FILE)
        return progress.result()

    def certify(
        self, name: str, measure: Callable[[], tuple[ParityEntry, ...]], model: str,
        parts: dict[str, str], path: Path, decoder: str | None = None,
    ) -> ExportResult:  # fmt: skip
        """Measure an ensemble end to end and write its passport.

        Args:
            name: for the table.
            measure: compares the parts one behind the other with PyTorch.
            model: its name in the repository.
            parts: part -> content digest.
            path: the passport to write.
            decoder: content digest of the head's decoder, if it writes text.
        """
        path.unlink(missing_ok=True)
        progress = _Progress(name, step="parity")
        with progress.caught():
            progress.parity = measure()
            progress.step = "passport"
            passport = issue_passport(
                model,
                self.source.weights_path,
                progress.parity,
                opset=self.opset,
                parts=parts,
                decoder=decoder,
            )
            write_passport(passport, path)
        return progress.result()


class _Progress:
    """How far an export came."""

    def __init__(self, name: str, step: str = "graph") -> None:
        self.name, self.step = name, step
        self.graph_bytes = 0
        self.parity: tuple[ParityEntry, ...] = ()
        self.failure: str | None = None
        self.started = time.perf_counter()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Turn what may go wrong with one graph into a result."""
        try:
            yield
        except _FAILURES as error:
            self.failure, self.parity = str(error), ()

    def result(self) -> ExportResult:
        """What came out."""
        outcome = Outcome.OK if self.failure is None else Outcome.FAIL
        return ExportResult(
            self.name,
            outcome,
            self.step,
            self.failure or "",
            self.graph_bytes,
            self.parity,
            time.perf_counter() - self.started,
        )


def load_folded(graph: Graph) -> ort.InferenceSession:
    """A session on a graph, once sure that no stored weight is converted per request.

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
def _workshop(source: Checkpoint) -> Iterator[Path]:
    """A directory for one export with the weights in it, as a runtime will see them."""
    with tempfile.TemporaryDirectory(dir=source.directory, prefix=".export-") as name:
        workshop = Path(name)
        link_or_copy(source.weights_path, workshop / WEIGHTS_FILE)
        yield workshop
