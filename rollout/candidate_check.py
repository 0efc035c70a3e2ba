"""Checks of a head before requests reach it: here with ONNX Runtime, then on a server."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort

from export.parity.agreement import relative_error
from export.parity.random_samples import length_cases, random_inputs
from omnivec2.arrays import Array, Batch
from omnivec2.atomic_files import link_or_copy
from omnivec2.engine_errors import ENGINE_ERRORS
from omnivec2.errors import ParityError
from omnivec2.generation import constant_inputs, first_inputs
from omnivec2.model_config import format_config, parse_config, set_head_spec
from omnivec2.passport import GRAPH_FILE, PARITY_TOLERANCE, WEIGHTS_FILE
from omnivec2.spec import HeadSpec

BATCH_SIZES = (1, 3)


@dataclass(frozen=True)
class ServedGraph:
    """A graph on the disk, with its name and version on a server.

    Attributes:
        name: The name of its model.
        version: The version of its model.
        directory: The version directory.
    """

    name: str
    version: int
    directory: Path


class Server(Protocol):
    """A server that runs models by name."""

    @property
    def address(self) -> str:
        """The address in messages."""

    def infer(self, name: str, version: int, inputs: Batch, outputs: Sequence[str]) -> list[Array]:
        """Run a batch through one version of a model."""


@dataclass(frozen=True)
class _GraphRun:
    """One run of a graph: its inputs and its outputs."""

    graph: ServedGraph
    inputs: Batch
    outputs: Batch


class CandidateCheck:
    """Runs a head on random inputs with the very files that will be served.

    Args:
        head: The spec of the head.
        graphs: The graphs it is run with, in order: its own, or its parts.
        whole: The directory of the same head's graph in one piece; it need not exist.
        decoder: The decoder of a head that writes text.

    Attributes:
        error: The largest relative difference between the parts and the head in one piece.
        in_parts: Whether the head consists of several parts.

    Raises:
        ParityError: A graph cannot be loaded or run, gives other tensors than the head
            spec names, or answers unlike the head in one piece.
    """

    def __init__(
        self,
        head: HeadSpec,
        graphs: Sequence[ServedGraph],
        whole: Path,
        decoder: ServedGraph | None = None,
    ) -> None:
        self._head = head
        self.in_parts = len(graphs) > 1
        rng = np.random.default_rng(0)
        self._batches = [
            random_inputs(head, size, lengths, rng)
            for lengths in length_cases(head)
            for size in BATCH_SIZES
        ]
        try:
            sessions = [ort.InferenceSession(each.directory / GRAPH_FILE) for each in graphs]
            self._runs = [_run(graphs, sessions, batch) for batch in self._batches]
            self.error = self._compare_with(whole) if (whole / GRAPH_FILE).exists() else 0.0
            self._first_steps = self._decode(decoder) if decoder else []
        except ENGINE_ERRORS as error:
            raise ParityError(f"{head.route}: cannot be run: {error}") from error
        for batch, run in zip(self._batches, self._runs, strict=True):
            self._check_shapes(len(next(iter(batch.values()))), run[-1].outputs)

    def compare_parts(self, server: Server) -> None:
        """Compare the answers of every part on a server with its answers here.

        Raises:
            ParityError: An answer differs.
        """
        for run in self._runs:
            for graph_run in run:
                self._require_equal(server, graph_run.graph, graph_run)

    def compare_decoder(self, server: Server) -> None:
        """Compare the answers of the decoder, if there is one, with its answers here.

        Raises:
            ParityError: An answer differs.
        """
        for graph_run in self._first_steps:
            self._require_equal(server, graph_run.graph, graph_run)

    def compare(self, server: Server, name: str, version: int) -> None:
        """Compare the answers of the whole head, under some name, with its answers here.

        Raises:
            ParityError: An answer differs.
        """
        for batch, run in zip(self._batches, self._runs, strict=True):
            wanted = {tensor.name: run[-1].outputs[tensor.name] for tensor in self._head.outputs}
            graph = ServedGraph(name, version, run[-1].graph.directory)
            self._require_equal(server, graph, _GraphRun(graph, batch, wanted))

    @staticmethod
    def candidate_config(config: str, name: str) -> str:
        """Return the configuration of a head for a check: another name, and no route."""
        candidate = parse_config(config, name)
        candidate.name = name
        set_head_spec(candidate, None)
        return format_config(candidate)

    def _decode(self, decoder: ServedGraph) -> list[_GraphRun]:
        """Run the first step of a search after every run of the head.

        Raises:
            ParityError: The decoder's tensors are not those of the head's spec.
        """
        assert self._head.generation is not None
        session = ort.InferenceSession(decoder.directory / GRAPH_FILE)
        steps = []
        for batch, run in zip(self._batches, self._runs, strict=True):
            rows = len(next(iter(batch.values())))
            tensors = first_inputs(self._head.generation, rows)
            tensors |= constant_inputs(self._head, batch, run[-1].outputs)
            names = [tensor.name for tensor in self._head.generation.outputs]
            if {node.name for node in session.get_inputs()} != tensors.keys() or not set(names) <= {
                node.name for node in session.get_outputs()
            }:
                raise ParityError(
                    f"{decoder.name}: its tensors are not those of {self._head.route}"
                )
            answers = dict(zip(names, session.run(names, tensors), strict=True))
            steps.append(_GraphRun(decoder, tensors, answers))
        return steps

    def _compare_with(self, whole: Path) -> float:
        """Return the largest error of the parts against the head in one piece."""
        weights = self._runs[0][-1].graph.directory / WEIGHTS_FILE
        with tempfile.TemporaryDirectory() as temporary:
            directory = Path(temporary)
            link_or_copy(whole / GRAPH_FILE, directory / GRAPH_FILE)
            if weights.exists():
                link_or_copy(weights, directory / WEIGHTS_FILE)
            session = ort.InferenceSession(directory / GRAPH_FILE)
            names = [tensor.name for tensor in self._head.outputs]
            worst = 0.0
            for batch, run in zip(self._batches, self._runs, strict=True):
                answers = session.run(names, dict(batch))
                for name, expected in zip(names, answers, strict=True):
                    worst = max(worst, relative_error(run[-1].outputs[name], expected))
        if not worst <= PARITY_TOLERANCE:
            raise ParityError(
                f"{self._head.route}: with the parts that are deployed it answers unlike "
                f"the exported head, by {worst:.1e} of the largest value"
            )
        return worst

    def _check_shapes(self, rows: int, outputs: Batch) -> None:
        for tensor in self._head.outputs:
            shape = outputs[tensor.name].shape if tensor.name in outputs else None
            wanted = (rows, *tensor.shape)
            if (
                shape is None
                or len(shape) != len(wanted)
                or any(want not in (-1, have) for want, have in zip(wanted, shape, strict=True))
            ):
                raise ParityError(
                    f"{self._head.route}: {tensor.name} has shape {shape}, expected {wanted}"
                )

    def _require_equal(self, server: Server, graph: ServedGraph, expected: _GraphRun) -> None:
        names = list(expected.outputs)
        answers = server.infer(graph.name, graph.version, expected.inputs, names)
        for name, answer in zip(names, answers, strict=True):
            error = relative_error(answer, expected.outputs[name])
            if not error <= PARITY_TOLERANCE:
                raise ParityError(
                    f"{graph.name} {graph.version} on {server.address} answers unlike "
                    f"here: {name} differs by {error:.1e} of its largest value"
                )


def _run(
    graphs: Sequence[ServedGraph], sessions: Sequence[ort.InferenceSession], batch: Batch
) -> list[_GraphRun]:
    """Run a batch through graphs, each given the outputs of those before it."""
    tensors: dict[str, Array] = dict(batch)
    runs = []
    for graph, session in zip(graphs, sessions, strict=True):
        names = [node.name for node in session.get_inputs()]
        if missing := [name for name in names if name not in tensors]:
            raise ParityError(
                f"{graph.name}: takes {', '.join(missing)}, which no graph before it gives"
            )
        inputs = {name: tensors[name] for name in names}
        outputs = [node.name for node in session.get_outputs()]
        answers = dict(zip(outputs, session.run(outputs, inputs), strict=True))
        runs.append(_GraphRun(graph, inputs, answers))
        tensors |= answers
    return runs
