"""Trying a head before anybody is sent to it: here with ONNX Runtime, then on a server."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort

from export.parity.agreement import ENGINE_ERRORS, Array, relative_error
from export.parity.random_samples import length_cases, random_inputs
from omnivec2.atomic_files import link_or_copy
from omnivec2.errors import ParityError
from omnivec2.generation import constant_inputs, first_inputs
from omnivec2.model_config import format_config, parse_config, set_head_spec
from omnivec2.passport import GRAPH_FILE, PARITY_TOLERANCE, WEIGHTS_FILE
from omnivec2.spec import HeadSpec

BATCH_SIZES = (1, 3)


@dataclass(frozen=True)
class Location:
    """A graph on the disk, and what it is called on a server."""

    name: str
    version: int
    directory: Path


class Server(Protocol):
    """What runs models by name."""

    @property
    def address(self) -> str:
        """For messages."""

    def infer(
        self, name: str, version: int, inputs: Mapping[str, Array], outputs: Sequence[str]
    ) -> list[Array]:
        """Run a batch through one version of a model."""


@dataclass(frozen=True)
class _Stage:
    """What reached one graph and what it answered."""

    location: Location
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


class Tryout:
    """Runs a head on random inputs with the very files that will be served.

    Args:
        head: its spec.
        locations: the graphs it is run with, in order: its own, or its parts.
        whole: directory of the same head's graph in one piece, if there is one.
        decoder: of a head that writes text.

    Attributes:
        error: largest relative difference between the parts and the head in one piece.
        in_parts: whether it is put together from parts.

    Raises:
        ParityError: a graph cannot be loaded or run, gives other tensors than the head
            spec names, or answers otherwise than the head in one piece.
    """

    def __init__(
        self,
        head: HeadSpec,
        locations: Sequence[Location],
        whole: Path,
        decoder: Location | None = None,
    ) -> None:
        self._head = head
        self.in_parts = len(locations) > 1
        rng = np.random.default_rng(0)
        self._batches = [
            random_inputs(head, size, lengths, rng)
            for lengths in length_cases(head)
            for size in BATCH_SIZES
        ]
        try:
            sessions = [ort.InferenceSession(place.directory / GRAPH_FILE) for place in locations]
            self._runs = [_run(locations, sessions, batch) for batch in self._batches]
            self.error = self._compare_with(whole) if (whole / GRAPH_FILE).exists() else 0.0
            self._first_steps = self._decode(decoder) if decoder else []
        except ENGINE_ERRORS as error:
            raise ParityError(f"{head.route}: cannot be run: {error}") from error
        for batch, run in zip(self._batches, self._runs, strict=True):
            self._check_shapes(len(next(iter(batch.values()))), run[-1].outputs)

    def compare_parts(self, server: Server) -> None:
        """Compare every part on a server with what it answers here.

        Raises:
            ParityError: an answer differs.
        """
        for run in self._runs:
            for stage in run:
                self._require_equal(server, stage.location, stage)

    def compare_decoder(self, server: Server) -> None:
        """Compare the decoder on a server with what it answers here, if there is one.

        Raises:
            ParityError: an answer differs.
        """
        for stage in self._first_steps:
            self._require_equal(server, stage.location, stage)

    def compare(self, server: Server, name: str, version: int) -> None:
        """Compare the whole head on a server, under some name, with what it answers here.

        Raises:
            ParityError: an answer differs.
        """
        for batch, run in zip(self._batches, self._runs, strict=True):
            wanted = {tensor.name: run[-1].outputs[tensor.name] for tensor in self._head.outputs}
            place = Location(name, version, run[-1].location.directory)
            self._require_equal(server, place, _Stage(place, batch, wanted))

    @staticmethod
    def candidate_config(config: str, name: str) -> str:
        """The configuration of a head for trying it: another name, and no route of a gateway."""
        candidate = parse_config(config, name)
        candidate.name = name
        set_head_spec(candidate, None)
        return format_config(candidate)

    def _decode(self, place: Location) -> list[_Stage]:
        """The first step of a search behind every run.

        Raises:
            ParityError: its tensors are not those of the head's spec.
        """
        assert self._head.generation is not None
        session = ort.InferenceSession(place.directory / GRAPH_FILE)
        stages = []
        for batch, run in zip(self._batches, self._runs, strict=True):
            rows = len(next(iter(batch.values())))
            tensors = first_inputs(self._head.generation, rows)
            tensors |= constant_inputs(self._head, batch, run[-1].outputs)
            names = [tensor.name for tensor in self._head.generation.outputs]
            if {node.name for node in session.get_inputs()} != tensors.keys() or not set(names) <= {
                node.name for node in session.get_outputs()
            }:
                raise ParityError(f"{place.name}: its tensors are not those of {self._head.route}")
            answers = dict(zip(names, session.run(names, tensors), strict=True))
            stages.append(_Stage(place, tensors, answers))
        return stages

    def _compare_with(self, whole: Path) -> float:
        """Largest error against the head in one piece."""
        weights = self._runs[0][-1].location.directory / WEIGHTS_FILE
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            link_or_copy(whole / GRAPH_FILE, place / GRAPH_FILE)
            if weights.exists():
                link_or_copy(weights, place / WEIGHTS_FILE)
            session = ort.InferenceSession(place / GRAPH_FILE)
            names = [tensor.name for tensor in self._head.outputs]
            worst = 0.0
            for batch, run in zip(self._batches, self._runs, strict=True):
                answers = session.run(names, dict(batch))
                for name, expected in zip(names, answers, strict=True):
                    worst = max(worst, relative_error(run[-1].outputs[name], expected))
        if not worst <= PARITY_TOLERANCE:
            raise ParityError(
                f"{self._head.route}: with the parts that are deployed it answers otherwise than "
                f"it was exported, by {worst:.1e} of the largest value"
            )
        return worst

    def _check_shapes(self, rows: int, outputs: Mapping[str, Array]) -> None:
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

    def _require_equal(self, server: Server, place: Location, stage: _Stage) -> None:
        names = list(stage.outputs)
        answers = server.infer(place.name, place.version, stage.inputs, names)
        for name, answer in zip(names, answers, strict=True):
            error = relative_error(answer, stage.outputs[name])
            if not error <= PARITY_TOLERANCE:
                raise ParityError(
                    f"{place.name} {place.version} on {server.address} answers otherwise than "
                    f"here: {name} differs by {error:.1e} of its largest value"
                )


def _run(
    locations: Sequence[Location],
    sessions: Sequence[ort.InferenceSession],
    batch: Mapping[str, Array],
) -> list[_Stage]:
    """One batch through the graphs, each given what those before it gave."""
    tensors: dict[str, Any] = dict(batch)
    stages = []
    for place, session in zip(locations, sessions, strict=True):
        names = [node.name for node in session.get_inputs()]
        if missing := [name for name in names if name not in tensors]:
            raise ParityError(f"{place.name}: takes {', '.join(missing)}, which nothing gives")
        inputs = {name: tensors[name] for name in names}
        outputs = [node.name for node in session.get_outputs()]
        answers = dict(zip(outputs, session.run(outputs, inputs), strict=True))
        stages.append(_Stage(place, inputs, answers))
        tensors |= answers
    return stages
