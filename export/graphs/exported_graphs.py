"""The graphs of a checkpoint as the exporter left them, to compare converted graphs with.

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

from export.exported_checkpoint import ExportedCheckpoint
from export.parity.decoder_searches import decoder_axes
from export.parity.parity_gate import Case, cases_of
from export.parity.random_samples import MAX_BATCH, batch_axes, dynamic_axes, longest_input
from export.precision.rounding import rounded_session
from omnivec2.arrays import Array, Batch
from omnivec2.engines.shape_ranges import LENGTH_LIMITS
from omnivec2.parts import LENGTH, TRUNK, PartSpec
from omnivec2.passport import GRAPH_FILE, Passport
from omnivec2.spec import HeadSpec, TensorSpec

TRUNK_BATCHES = (1, 3)
"""Batch sizes at which the trunk is compared, with tokens of every tokenizer."""


@dataclass(frozen=True)
class Chain:
    """Graphs that run one after the other.

    Attributes:
        sessions: The sessions of the graphs, in order.
    """

    sessions: Sequence[ort.InferenceSession]

    def __call__(self, names: Sequence[str], batch: Batch) -> list[Array]:
        """Run a batch and return some of its tensors, in the order of their names."""
        tensors = self.tensors(batch)
        return [tensors[name] for name in names]

    def tensors(self, batch: Batch) -> dict[str, Any]:
        """Run a batch and return its inputs with the outputs of every graph."""
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
        directory: The directory of its files in the checkpoint.
        weights: The weights file it reads.
        inputs: The specs of its inputs; shapes leave out the batch.
        outputs: The names of its outputs.
        axes: A map from inputs to their dynamic axes: axis (batch is 0) -> name of the axis.
        bounds: A map from dynamic axes to their smallest and largest sizes.
        max_batch_size: The most rows of one batch.
        passport: The passport that the exporter wrote.
    """

    directory: Path
    weights: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    axes: Mapping[str, Mapping[int, str]]
    bounds: Mapping[str, tuple[int, int]]
    max_batch_size: int
    passport: Passport

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.passport.model

    @cached_property
    def session(self) -> ort.InferenceSession:
        """A session that runs the graph as it is."""
        return rounded_session(self.directory / GRAPH_FILE, self.weights, "fp32")

    def answer(self, batch: Batch) -> dict[str, Array]:
        """Run a batch and return its outputs by name."""
        names = list(self.outputs)
        return dict(zip(names, Chain([self.session])(names, batch), strict=True))


@dataclass(frozen=True)
class ExportedHead:
    """A head that is put together from exported parts.

    Attributes:
        spec: The spec of the head.
        parts: The tokenizer, the trunk and the head's own part.
        passport: The passport of the ensemble.
    """

    spec: HeadSpec
    parts: tuple[ExportedGraph, ExportedGraph, ExportedGraph]
    passport: Passport

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.spec.name

    def answer(self, batch: Batch) -> dict[str, Array]:
        """Run a batch through all parts in float32 and return the head's outputs by name."""
        names = [tensor.name for tensor in self.spec.outputs]
        chain = Chain([part.session for part in self.parts])
        return dict(zip(names, chain(names, batch), strict=True))


def part_axes(inputs: Sequence[TensorSpec]) -> dict[str, dict[int, str]]:
    """Return the dynamic axes of a trunk or head: the batch and, where it varies, the length."""
    return {t.name: {0: "batch"} | ({1: LENGTH} if -1 in t.shape else {}) for t in inputs}


def part_bounds(inputs: Sequence[TensorSpec]) -> dict[str, tuple[int, int]]:
    """Return the smallest and largest sizes of the axes of a trunk or head."""
    bounds = {"batch": (1, MAX_BATCH)}
    if any(-1 in tensor.shape for tensor in inputs):
        bounds[LENGTH] = LENGTH_LIMITS
    return bounds


def whole_graph(source: ExportedCheckpoint, head: HeadSpec) -> ExportedGraph:
    """Return the graph of a head in one piece.

    Raises:
        PassportError: The head is not exported in one piece.
    """
    return ExportedGraph(
        source.checkpoint.model_directory(head),
        source.checkpoint.weights_path,
        head.inputs,
        tuple(tensor.name for tensor in head.outputs),
        dynamic_axes(head),
        batch_axes(head),
        head.max_batch_size,
        source.whole_passport(head),
    )


def exported_decoder(source: ExportedCheckpoint, head: HeadSpec) -> tuple[PartSpec, ExportedGraph]:
    """Return the spec and the graph of the decoder of a head that writes text.

    Raises:
        PassportError: The decoder is not exported.
    """
    assert head.generation is not None, f"{head.route} writes no text"
    name = head.generation.decoder
    axes, bounds = decoder_axes(head.generation)
    return source.part(name).spec, _part_graph(source, name, axes, bounds)


class ExportedParts:
    """The parts of a checkpoint, with the batches that reach them.

    Args:
        source: The exported checkpoint.

    Attributes:
        heads: Every head, put together from parts; equal parts are one object.
        specs: A map from parts to their specs.

    Raises:
        PassportError: A head is not exported in parts.
    """

    def __init__(self, source: ExportedCheckpoint) -> None:
        self._source = source
        self.specs: dict[str, PartSpec] = {}
        self._graphs: dict[str, ExportedGraph] = {}
        self._tensors: dict[str, list[tuple[Case, Batch]]] = {}
        # The head with the longest inputs comes first: it says what a shared tokenizer takes.
        longest = sorted(source.heads, key=longest_input, reverse=True)
        heads = {head.name: self._head(head) for head in longest}
        self.heads = [heads[head.name] for head in source.heads]

    @property
    def trunk(self) -> ExportedGraph:
        """The part that all heads have."""
        return self.heads[0].parts[1]

    def tokenizers_and_heads(self) -> Iterator[tuple[ExportedGraph, Iterator[Case]]]:
        """Yield every part but the trunk once with its batches, tokenizers first."""
        longest = sorted(self.heads, key=lambda head: longest_input(head.spec))
        tokenizers = {head.parts[0].name: head for head in longest}
        for head in tokenizers.values():
            yield head.parts[0], cases_of(head.spec)
        users: dict[str, list[ExportedHead]] = {}
        for head in self.heads:
            users.setdefault(head.parts[2].name, []).append(head)
        for sharing in users.values():
            yield sharing[0].parts[2], self._head_cases(sharing)

    def _head(self, head: HeadSpec) -> ExportedHead:
        passport = self._source.ensemble_passport(head)
        # The order they run in; a passport lists them so, but need not.
        order = sorted(passport.parts, key=lambda name: (name.startswith("head_"), name == TRUNK))
        tokenizer, trunk, own = (self._graph(name, head) for name in order)
        return ExportedHead(head, (tokenizer, trunk, own), passport)

    def _graph(self, name: str, head: HeadSpec) -> ExportedGraph:
        if name not in self._graphs:
            spec = self.specs[name] = self._source.part(name).spec
            first = spec.kind == "tokenizer"
            axes = dynamic_axes(head) if first else part_axes(spec.inputs)
            bounds = batch_axes(head) if first else part_bounds(spec.inputs)
            self._graphs[name] = _part_graph(self._source, name, axes, bounds)
        return self._graphs[name]

    def _tensors_of(self, head: ExportedHead) -> list[tuple[Case, Batch]]:
        """Return each case with all tensors up to the features; computed once per tokenizer."""
        tokenizer, trunk, _ = head.parts
        if tokenizer.name not in self._tensors:
            chain = Chain([tokenizer.session, trunk.session])
            self._tensors[tokenizer.name] = [
                (case, chain.tensors(case.batch)) for case in cases_of(head.spec)
            ]
        return self._tensors[tokenizer.name]

    def _head_cases(self, heads: Sequence[ExportedHead]) -> Iterator[Case]:
        for head in heads:
            for case, tensors in self._tensors_of(head):
                yield replace(case, batch={t.name: tensors[t.name] for t in head.parts[2].inputs})


def _part_graph(
    source: ExportedCheckpoint,
    name: str,
    axes: Mapping[str, Mapping[int, str]],
    bounds: Mapping[str, tuple[int, int]],
) -> ExportedGraph:
    part = source.part(name)
    return ExportedGraph(
        part.directory,
        source.checkpoint.weights_path,
        part.spec.inputs,
        tuple(tensor.name for tensor in part.spec.outputs),
        axes,
        bounds,
        part.spec.max_batch_size,
        part.passport,
    )
