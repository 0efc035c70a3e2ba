"""Graphs of an earlier export whose weights are unchanged, taken over into a checkpoint.

A graph has no weights: it refers to byte ranges of the weights file. Where heads were added to a
checkpoint, the tensors of all others are the same bytes at other places, so their graphs need other
offsets, and no tracing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx

from export.exported_checkpoint import (
    PART_FILE,
    ExportedCheckpoint,
    ensemble_path,
    part_directory,
    read_exported_checkpoint,
)
from export.graphs.network_parts import PartitionedNetwork
from export.graphs.weight_ranges import ByteRange, read_ranges
from export.passport_writer import write_passport
from export.precision.calibration import CALIBRATION_FILE
from omnivec2.atomic_files import write_file
from omnivec2.checkpoint import load_stored_tensors
from omnivec2.digests import file_digest
from omnivec2.errors import PassportError
from omnivec2.familiarity.training_reference import REFERENCE_FILE
from omnivec2.network.saved_network import load_network
from omnivec2.parts import TRUNK
from omnivec2.passport import (
    GATE_FILE,
    GRAPH_FILE,
    INT8_GRAPH_FILE,
    PASSPORT_FILE,
    WEIGHTS_FILE,
    Passport,
)
from omnivec2.spec import HeadSpec

_OFFSET, _LENGTH = "offset", "length"


def carry_graphs(earlier: Path, checkpoint: Path) -> list[str]:
    """Take over the graphs of heads whose specs, configuration and weights are unchanged.

    A head is taken over as a whole, in both layouts: with its graph in one piece, the parts it is
    put together from, its decoder, its gate file, the record of its training data and its
    passports. The calibration of int8 comes along with the trunk. Everything else has to be
    exported.

    Args:
        earlier: A checkpoint that was exported in both layouts.
        checkpoint: The checkpoint that gets the graphs.

    Returns:
        The routes of these heads.

    Raises:
        CheckpointError: A checkpoint is incomplete or altered.
    """
    source, target = read_exported_checkpoint(earlier), read_exported_checkpoint(checkpoint)
    move = _Move(source, target)
    carried = [head for head in target.heads if move.carries(head)]
    for head in carried:
        move.head(head)
    calibration = earlier / CALIBRATION_FILE
    if TRUNK in move.parts and calibration.exists():
        shutil.copyfile(calibration, checkpoint / CALIBRATION_FILE)
    return [head.route for head in carried]


class _Move:
    """The way of graphs from one checkpoint to another.

    Args:
        source: The checkpoint with the graphs.
        target: The checkpoint that gets them.

    Attributes:
        parts: The names of the parts that were taken over.
    """

    def __init__(self, source: ExportedCheckpoint, target: ExportedCheckpoint) -> None:
        self._source, self._target = source, target
        self._before = {head.route: head for head in source.heads}
        old, new = (load_stored_tensors(every.checkpoint.directory) for every in (source, target))
        self._changed = {
            name
            for name, array in old.items()
            if name not in new
            or (new[name].dtype, new[name].shape) != (array.dtype, array.shape)
            or new[name].tobytes() != array.tobytes()
        }
        self._known = old.keys()
        ranges = read_ranges(source.checkpoint.weights_path)
        self._names: Mapping[ByteRange, str] = {where: name for name, where in ranges.items()}
        self._ranges = read_ranges(target.checkpoint.weights_path)
        self._partitioned = PartitionedNetwork(
            load_network(target.checkpoint.directory), target.heads
        ).heads
        self.parts: set[str] = set()

    def carries(self, head: HeadSpec) -> bool:
        """Whether a head and everything that it is run with is unchanged."""
        before = self._before.get(head.route)
        if before is None or _content(before) != _content(head):
            return False
        configs = [self._config(every, head) for every in (self._source, self._target)]
        if configs[0] != configs[1]:
            return False
        try:
            whole, ensemble = (
                self._source.whole_passport(before),
                self._source.ensemble_passport(before),
            )
            parts = [self._source.part(name) for name in ensemble.dependencies(before)]
        except PassportError:
            return False
        specs = [part.spec for part in parts if part.spec.name in ensemble.parts]
        if specs != [part.spec for part in self._partitioned[head.route].parts]:
            return False
        directories = [self._source.checkpoint.model_directory(before)]
        directories += [part.directory for part in parts]
        passports = [whole, *(part.passport for part in parts)]
        return all(
            self._is_unchanged(directory, passport)
            for directory, passport in zip(directories, passports, strict=True)
        )

    def head(self, head: HeadSpec) -> None:
        """Take over the graphs and passports of a head, and the parts that are not there yet."""
        before = self._before[head.route]
        ensemble = self._source.ensemble_passport(before)
        for name in ensemble.dependencies(before):
            if name not in self.parts:
                self._part(name)
        directory = self._target.checkpoint.model_directory(head)
        passport = self._source.whole_passport(before)
        source = self._source.checkpoint.model_directory(before)
        for name in (GATE_FILE, REFERENCE_FILE):
            if (source / name).exists():
                shutil.copyfile(source / name, directory / name)
        self._graphs(source, directory, passport)
        moved = ensemble.model_copy(update={"checkpoint_digest": self._target.checkpoint.digest})
        write_passport(moved, ensemble_path(self._target.checkpoint, head))

    def _part(self, name: str) -> None:
        part = self._source.part(name)
        directory = part_directory(self._target.checkpoint, name)
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(part.directory / PART_FILE, directory / PART_FILE)
        self._graphs(part.directory, directory, part.passport)
        self.parts.add(name)

    def _graphs(self, source: Path, target: Path, passport: Passport) -> None:
        """Write the graphs of a directory with the offsets of the new file, and their passport."""
        digest = self._target.checkpoint.digest
        files = {**passport.files, WEIGHTS_FILE: digest}
        for name in _graphs_of(passport):
            graph = onnx.load(source / name, load_external_data=False)
            for initializer in graph.graph.initializer:
                self._point(initializer)
            if passport.content_digest is None:
                # Graphs in one piece. A part is known by its bytes, so it keeps what it has.
                for node in graph.graph.node:
                    node.ClearField("name")
            write_file(target / name, graph.SerializeToString())
            files[name] = file_digest(target / name)
        moved = passport.model_copy(update={"files": files, "checkpoint_digest": digest})
        write_passport(moved, target / PASSPORT_FILE)

    def _point(self, initializer: Any) -> None:
        """Let an initializer point at its tensor in the new file."""
        if initializer.data_location != onnx.TensorProto.EXTERNAL:
            return
        where = self._ranges[self._names[_range_of(initializer)]]
        values = {_OFFSET: where.offset, _LENGTH: where.length}
        for entry in initializer.external_data:
            if entry.key in values:
                entry.value = str(values[entry.key])

    def _is_unchanged(self, directory: Path, passport: Passport) -> bool:
        """Whether the graphs of a directory are as they were written and read the same tensors."""
        for name in _graphs_of(passport):
            path = directory / name
            if not path.exists() or file_digest(path) != passport.files[name]:
                return False
            graph = onnx.load(path, load_external_data=False)
            read = set(self._tensors_of(graph.graph.initializer))
            if None in read or read & self._changed:
                return False
        return True

    def _tensors_of(self, initializers: Iterable[Any]) -> Iterable[str | None]:
        """Yield the names of the tensors behind initializers; None for a range that has none."""
        for initializer in initializers:
            if initializer.data_location == onnx.TensorProto.EXTERNAL:
                yield self._names.get(_range_of(initializer))
            elif initializer.name in self._known:
                yield initializer.name

    @staticmethod
    def _config(exported: ExportedCheckpoint, head: HeadSpec) -> list[Any]:
        """Return what the configuration says of the trunk, a head and its tokenizer."""
        config: Any = exported.checkpoint.config
        own = config["heads"][head.route]
        return [config["trunk"], config["head"], own, config["tokenizers"][own["tokenizer"]]]


def _content(head: HeadSpec) -> HeadSpec:
    """Return a spec without what says nothing of its graphs and their gate file."""
    return head.model_copy(
        update={
            "checkpoint_digest": "",
            "metrics": (),
            "data": (),
            "description": "",
            "experimental": False,
            "temperature": 1.0,
        }
    )


def _graphs_of(passport: Passport) -> list[str]:
    return [name for name in (GRAPH_FILE, INT8_GRAPH_FILE) if name in passport.files]


def _range_of(initializer: Any) -> ByteRange:
    values = {entry.key: entry.value for entry in initializer.external_data}
    return ByteRange(int(values[_OFFSET]), int(values[_LENGTH]))
