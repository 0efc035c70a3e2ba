"""The graphs of a checkpoint as the exporter left them: what a converted graph is compared with.

They answer like PyTorch but for the error that their passports record, so that building for
another engine or precision needs neither torch nor the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import onnxruntime as ort

from export.parity.agreement import Array
from export.parity.decoder_searches import decoder_axes
from export.parity.parity_gate import Batch, Case, cases_of
from export.parity.random_samples import MAX_BATCH, batch_axes, dynamic_axes, longest_input
from export.precision.rounding import rounded_session
from export.repository.layouts import ensemble_path, load_part, part_directory
from omnivec2.checkpoint import Checkpoint
from omnivec2.parts import LENGTH, LENGTH_BUCKETS, TRUNK, PartSpec
from omnivec2.passport import GRAPH_FILE, PASSPORT_FILE, Passport, load_passport
from omnivec2.spec import HeadSpec, TensorSpec

TRUNK_BATCHES = (1, 3)
"""Batch sizes at which the trunk is compared, with tokens of every tokenizer."""


@dataclass(frozen=True)
class Chain:
    """Graphs run one behind the other."""

    sessions: Sequence[ort.InferenceSession]

    def __call__(self, names: Sequence[str], batch: Batch) -> list[Array]:
        """Outputs of the last by name."""
        tensors = self.tensors(batch)
        return [tensors[name] for name in names]

    def tensors(self, batch: Batch) -> dict[str, Any]:
        """The inputs, and what every graph gives."""
        tensors: dict[str, Any] = dict(batch)
        for session in self.sessions:
            inputs = {node.name: tensors[node.name] for node in session.get_inputs()}
            outputs = [node.name for node in session.get_outputs()]
            tensors |= dict(zip(outputs, session.run(outputs, inputs), strict=True))
        return tensors


@dataclass(frozen=True)
class ExportedGraph:
    """One graph of a checkpoint, in float32.

    Attributes:
        directory: of its files in the checkpoint.
        weights: the weights file it reads.
        inputs: shapes leave out the batch.
        outputs: names.
        axes: input -> axis (batch is 0) -> name of that dynamic axis.
        bounds: name of a dynamic axis -> smallest and largest size.
        rows: most rows of one batch.
        passport: what the exporter measured.
    """

    directory: Path
    weights: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    axes: Mapping[str, Mapping[int, str]]
    bounds: Mapping[str, tuple[int, int]]
    rows: int
    passport: Passport

    @property
    def name(self) -> str:
        """Of the model."""
        return self.passport.model

    @cached_property
    def session(self) -> ort.InferenceSession:
        """Runs it as it is."""
        return rounded_session(self.directory / GRAPH_FILE, self.weights, "fp32")

    def answer(self, batch: Batch) -> dict[str, Array]:
        """Output -> its value, for a batch of inputs."""
        names = list(self.outputs)
        return dict(zip(names, Chain([self.session])(names, batch), strict=True))


@dataclass(frozen=True)
class Route:
    """A head put together from exported parts.

    Attributes:
        head: its spec.
        parts: its tokenizer, the trunk, the head's own part.
        passport: of the ensemble.
    """

    head: HeadSpec
    parts: tuple[ExportedGraph, ExportedGraph, ExportedGraph]
    passport: Passport

    @property
    def name(self) -> str:
        """Of the model."""
        return self.head.name

    def answer(self, batch: Batch) -> dict[str, Array]:
        """Output -> its value, through all parts in float32."""
        names = [tensor.name for tensor in self.head.outputs]
        chain = Chain([part.session for part in self.parts])
        return dict(zip(names, chain(names, batch), strict=True))


def part_axes(inputs: Sequence[TensorSpec]) -> dict[str, dict[int, str]]:
    """Dynamic axes of a part behind the tokenizers: the batch and, where it varies, the length."""
    return {t.name: {0: "batch"} | ({1: LENGTH} if -1 in t.shape else {}) for t in inputs}


def part_bounds(inputs: Sequence[TensorSpec]) -> dict[str, tuple[int, int]]:
    """Smallest and largest sizes of these axes."""
    bounds = {"batch": (1, MAX_BATCH)}
    if any(-1 in tensor.shape for tensor in inputs):
        bounds[LENGTH] = (2, LENGTH_BUCKETS[-1])
    return bounds


def whole_graph(source: Checkpoint, head: HeadSpec) -> ExportedGraph:
    """A head's graph in one piece.

    Raises:
        PassportError: it is not exported.
    """
    directory = source.model_directory(head)
    return ExportedGraph(
        directory,
        source.weights_path,
        head.inputs,
        tuple(tensor.name for tensor in head.outputs),
        dynamic_axes(head),
        batch_axes(head),
        head.max_batch_size,
        load_passport(directory / PASSPORT_FILE),
    )


def exported_decoder(source: Checkpoint, head: HeadSpec) -> tuple[PartSpec, ExportedGraph]:
    """The decoder of a head with ``generation``: its spec, and its graph.

    Raises:
        PassportError: it is not exported.
    """
    assert head.generation is not None, f"{head.route} writes no text"
    spec, passport = load_part(source, head.generation.decoder)
    return spec, ExportedGraph(
        part_directory(source, spec.name),
        source.weights_path,
        spec.inputs,
        tuple(tensor.name for tensor in spec.outputs),
        *decoder_axes(head.generation),
        spec.max_batch_size,
        passport,
    )


class ExportedParts:
    """The parts of a checkpoint, with the batches that reach them.

    Attributes:
        routes: every head, put together; equal parts are one object.
        specs: part -> its spec.

    Raises:
        PassportError: a head is not exported in parts.
    """

    def __init__(self, source: Checkpoint) -> None:
        self._source = source
        self.specs: dict[str, PartSpec] = {}
        self._graphs: dict[str, ExportedGraph] = {}
        self._tensors: dict[str, list[tuple[Case, Batch]]] = {}
        # The head with the longest inputs comes first: it says what a shared tokenizer takes.
        longest = sorted(source.heads, key=longest_input, reverse=True)
        routes = {head.route: self._route(head) for head in longest}
        self.routes = [routes[head.route] for head in source.heads]

    @property
    def trunk(self) -> ExportedGraph:
        """The part that all heads have."""
        return self.routes[0].parts[1]

    def around_the_trunk(self) -> Iterator[tuple[ExportedGraph, Iterator[Case]]]:
        """Every other part once, tokenizers first."""
        longest = sorted(self.routes, key=lambda route: longest_input(route.head))
        tokenizers = {route.parts[0].name: route for route in longest}
        for route in tokenizers.values():
            yield route.parts[0], cases_of(route.head)
        heads: dict[str, list[Route]] = {}
        for route in self.routes:
            heads.setdefault(route.parts[2].name, []).append(route)
        for users in heads.values():
            yield users[0].parts[2], self._of_head(users)

    def _route(self, head: HeadSpec) -> Route:
        passport = load_passport(ensemble_path(self._source, head))
        # The order they run in; a passport lists them so, but need not.
        order = sorted(passport.parts, key=lambda name: (name.startswith("head_"), name == TRUNK))
        tokenizer, trunk, own = (self._graph(name, head) for name in order)
        return Route(head, (tokenizer, trunk, own), passport)

    def _graph(self, name: str, head: HeadSpec) -> ExportedGraph:
        if name not in self._graphs:
            spec, passport = load_part(self._source, name)
            first = spec.kind == "tokenizer"
            self.specs[name] = spec
            self._graphs[name] = ExportedGraph(
                part_directory(self._source, name),
                self._source.weights_path,
                spec.inputs,
                tuple(tensor.name for tensor in spec.outputs),
                dynamic_axes(head) if first else part_axes(spec.inputs),
                batch_axes(head) if first else part_bounds(spec.inputs),
                spec.max_batch_size,
                passport,
            )
        return self._graphs[name]

    def _behind(self, route: Route) -> list[tuple[Case, Batch]]:
        """Each case with all tensors up to the features; computed once per tokenizer."""
        tokenizer, trunk, _ = route.parts
        if tokenizer.name not in self._tensors:
            chain = Chain([tokenizer.session, trunk.session])
            self._tensors[tokenizer.name] = [
                (case, chain.tensors(case.batch)) for case in cases_of(route.head)
            ]
        return self._tensors[tokenizer.name]

    def _of_head(self, users: Sequence[Route]) -> Iterator[Case]:
        for route in users:
            for case, tensors in self._behind(route):
                yield replace(case, batch={t.name: tensors[t.name] for t in route.parts[2].inputs})
