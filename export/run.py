"""Export every head of a checkpoint: trace, load, compare with PyTorch, issue a passport."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import nn

from export.external_weights import check_folded
from export.onnx_graph import DEFAULT_OPSET, Graph, export_graph
from export.parity import check_parity
from export.passport import issue_passport, write_passport
from export.report import result_table
from export.weight_ranges import StoredWeights
from omnivec2.atomic import link_or_copy
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.errors import ArtifactError, ExportError, UnknownModelError
from omnivec2.network.load import load_network
from omnivec2.passport import GRAPH_FILE, PASSPORT_FILE, WEIGHTS_FILE, ParityEntry
from omnivec2.spec import HeadSpec
from omnivec2.terminal import make_console

Samples = Mapping[str, Sequence[Mapping[str, npt.NDArray[Any]]]]

_RUNTIME_ERRORS = (
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.InvalidGraph,
    ort_state.InvalidProtobuf,
    ort_state.NoSuchFile,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
)
"""What ONNX Runtime raises for a graph it cannot load or run; they have no common base."""


class Outcome(StrEnum):
    """How an export ended."""

    OK = "OK"
    FAIL = "FAIL"


@dataclass(frozen=True)
class ExportResult:
    """One head's export.

    Attributes:
        route: ``<modality>/<task>``.
        outcome: OK, or FAIL: then nothing of the head's earlier export is left in place.
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


def export_checkpoint(
    checkpoint: Path,
    *,
    only: Sequence[str] | None = None,
    opset: int = DEFAULT_OPSET,
    samples: Samples | None = None,
    console: Console | None = None,
) -> list[ExportResult]:
    """Export the heads of a checkpoint into its ``models/`` and print a table.

    Args:
        checkpoint: a checkpoint directory.
        only: routes to export, e.g. ``["image/classification"]``; all if None.
        opset: ONNX operator set, at most 23.
        samples: route -> real pre-processed samples, for parity beside the random ones.
        console: where progress and table go; standard output if None.

    Returns:
        One result per head; a failed one keeps its reason and stops nothing.

    Raises:
        CheckpointError: the checkpoint is incomplete, or not of its config's network.
        UnknownModelError: ``only`` names a head that the checkpoint does not have.
    """
    source = read_checkpoint(checkpoint)
    heads = _select(source, only)
    weights = StoredWeights(checkpoint)
    network = load_network(checkpoint)
    console = console or make_console()
    results: list[ExportResult] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        bar = progress.add_task("export", total=len(heads))
        for head in heads:
            progress.update(bar, description=f"export {head.route}")
            real = (samples or {}).get(head.route, ())
            results.append(export_head(network, source, head, weights, opset, real))
            progress.advance(bar)
    console.print(result_table(results))
    for result in results:
        if not result.ok:
            console.print(f"FAIL {result.route}: {result.step}: {result.message}", markup=False)
    return results


def export_head(
    network: nn.Module,
    source: Checkpoint,
    head: HeadSpec,
    weights: StoredWeights,
    opset: int = DEFAULT_OPSET,
    samples: Sequence[Mapping[str, npt.NDArray[Any]]] = (),
) -> ExportResult:
    """Export one head; graph and passport are put in place only if every step is OK."""
    started = time.perf_counter()
    step, graph_bytes = "graph", 0
    target = source.model_directory(head)
    for name in (PASSPORT_FILE, GRAPH_FILE):
        (target / name).unlink(missing_ok=True)
    try:
        with _workshop(source) as workshop:
            graph = export_graph(network, head, weights, workshop / GRAPH_FILE, opset=opset)
            graph_bytes, step = graph.bytes, "load"
            session = load_folded(graph)
            step = "parity"
            parity = check_parity(network, session, head, samples=samples)
            step = "passport"
            passport = issue_passport(head, graph, source.weights_path, parity, opset=opset)
            shutil.move(graph.path, target / GRAPH_FILE)
            write_passport(passport, target)
    except (ArtifactError, OSError, *_RUNTIME_ERRORS) as error:
        seconds = time.perf_counter() - started
        return ExportResult(head.route, Outcome.FAIL, step, str(error), graph_bytes, (), seconds)
    seconds = time.perf_counter() - started
    return ExportResult(head.route, Outcome.OK, step, "", graph_bytes, parity, seconds)


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


def _select(source: Checkpoint, only: Sequence[str] | None) -> list[HeadSpec]:
    heads = {head.route: head for head in source.heads}
    if only is None:
        return list(heads.values())
    if unknown := [route for route in only if route not in heads]:
        raise UnknownModelError(
            f"no such head: {', '.join(unknown)}; {source.directory} has {', '.join(heads)}"
        )
    return [heads[route] for route in only]


def require_ok(results: Sequence[ExportResult]) -> None:
    """Raise if any head failed, for callers that want all or nothing.

    Raises:
        ExportError: names the heads that failed and why.
    """
    if failed := [f"{r.route} ({r.step}): {r.message}" for r in results if not r.ok]:
        raise ExportError("not exported: " + "; ".join(failed))
