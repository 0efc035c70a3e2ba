"""A checkpoint with what was exported from it; every spec and passport is read once.

::

    models/<modality>_<task>/    model.onnx  passport.json    the head in one piece
                                 ensemble.json                the passport of the head in parts
                                 gate.npz                     real inputs with reference answers
                                 training_reference.json      what its training data look like
    parts/<part>/                model.onnx  passport.json  part.json
    parts/trunk/                 model_int8.onnx, if the checkpoint has a calibration.json

Needs neither torch nor onnx.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.errors import PassportError
from omnivec2.familiarity import REFERENCE_FILE, TrainingReference, read_training_reference
from omnivec2.parts import PartSpec
from omnivec2.passport import (
    GATE_FILE,
    GRAPH_FILE,
    INT8_GRAPH_FILE,
    PASSPORT_FILE,
    WEIGHTS_FILE,
    Passport,
    load_passport,
)
from omnivec2.spec import HeadSpec

_LOG = logging.getLogger(__name__)

PARTS_DIRECTORY = "parts"
PART_FILE = "part.json"
ENSEMBLE_FILE = "ensemble.json"
"""Beside a head's graph in one piece: the passport of the same head put together from parts."""


@dataclass(frozen=True)
class ExportedPart:
    """One part of the shared layout, or a decoder.

    Attributes:
        spec: The tensors of the part.
        passport: The passport that the exporter wrote.
        directory: The directory of its files in the checkpoint.
    """

    spec: PartSpec
    passport: Passport
    directory: Path


class ExportedCheckpoint:
    """The specs, passports and graphs of a checkpoint, read when they are first asked for.

    Args:
        checkpoint: The checkpoint that was exported.

    Attributes:
        checkpoint: The same checkpoint.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._passports: dict[Path, Passport] = {}
        self._parts: dict[str, ExportedPart] = {}

    @property
    def heads(self) -> tuple[HeadSpec, ...]:
        """The spec of every head, in the order of their names."""
        return self.checkpoint.heads

    def has_whole(self, head: HeadSpec) -> bool:
        """Whether a head is exported in one piece; its passport is not looked into."""
        directory = self.checkpoint.model_directory(head)
        return (directory / GRAPH_FILE).exists() and (directory / PASSPORT_FILE).exists()

    def has_ensemble(self, head: HeadSpec) -> bool:
        """Whether a head is exported in parts; its passport is not looked into."""
        return ensemble_path(self.checkpoint, head).exists()

    def whole_passport(self, head: HeadSpec) -> Passport:
        """Return the passport of a head in one piece.

        Raises:
            PassportError: The head is not exported in one piece.
        """
        return self._passport(self.checkpoint.model_directory(head) / PASSPORT_FILE)

    def ensemble_passport(self, head: HeadSpec) -> Passport:
        """Return the passport of a head that is put together from parts.

        Raises:
            PassportError: The head is not exported in parts.
        """
        return self._passport(ensemble_path(self.checkpoint, head))

    def part(self, name: str) -> ExportedPart:
        """Return a part by its name.

        Raises:
            PassportError: The part is not exported, or from other weights.
        """
        if name not in self._parts:
            self._parts[name] = self._read_part(name)
        return self._parts[name]

    def decoder(self, head: HeadSpec) -> ExportedPart | None:
        """Return the decoder of a head, or None if the head writes no text.

        Raises:
            PassportError: The decoder is not exported, or from other weights.
        """
        return None if head.generation is None else self.part(head.generation.decoder)

    def graph_files(self, directory: Path) -> dict[str, Path]:
        """Return the files of one graph: name in a version directory -> file of the checkpoint."""
        int8 = directory / INT8_GRAPH_FILE
        return {
            GRAPH_FILE: directory / GRAPH_FILE,
            **({INT8_GRAPH_FILE: int8} if int8.exists() else {}),
            PASSPORT_FILE: directory / PASSPORT_FILE,
            WEIGHTS_FILE: self.checkpoint.weights_path,
        }

    def gate_files(self, head: HeadSpec, passport: Passport) -> dict[str, Path]:
        """Return the gate file of a head as ``graph_files`` does; none if its passport has none."""
        if GATE_FILE not in passport.files:
            return {}
        return {GATE_FILE: self.checkpoint.model_directory(head) / GATE_FILE}

    def training_reference(self, head: HeadSpec, passport: Passport) -> TrainingReference | None:
        """Return what a head's training data look like to the parts it is put together from.

        Args:
            head: The spec of the head.
            passport: The passport of the ensemble.

        Returns:
            The reference; None if the head has none, or one of other parts.

        Raises:
            ArtifactError: The file is not a training reference.
        """
        path = self.checkpoint.model_directory(head) / REFERENCE_FILE
        reference = read_training_reference(path)
        if reference is None:
            return None
        if any(passport.parts.get(name) != digest for name, digest in reference.parts.items()):
            _LOG.warning(
                "%s: is not used, as it was measured with another trunk or tokenizer; run "
                "`omnivec2 familiarity %s` again", path, head.route,
            )  # fmt: skip
            return None
        return reference

    def _passport(self, path: Path) -> Passport:
        if path not in self._passports:
            self._passports[path] = load_passport(path)
        return self._passports[path]

    def _read_part(self, name: str) -> ExportedPart:
        directory = part_directory(self.checkpoint, name)
        try:
            spec = PartSpec.model_validate_json((directory / PART_FILE).read_bytes())
        except (OSError, ValidationError) as error:
            raise PassportError(
                f"{directory / PART_FILE}: not the spec of a part: {error}"
            ) from error
        passport = self._passport(directory / PASSPORT_FILE)
        names = {passport.model, spec.name}
        if names != {name} or passport.checkpoint_digest != self.checkpoint.digest:
            raise PassportError(f"{directory}: exported from other weights, or of another part")
        return ExportedPart(spec, passport, directory)


def read_exported_checkpoint(directory: Path) -> ExportedCheckpoint:
    """Read a checkpoint; what was exported from it is read when it is first asked for.

    Raises:
        CheckpointError: The checkpoint is incomplete or altered.
    """
    return ExportedCheckpoint(read_checkpoint(directory))


def part_directory(checkpoint: Checkpoint, name: str) -> Path:
    """Return the directory of a part's spec, graph and passport in a checkpoint."""
    return checkpoint.directory / PARTS_DIRECTORY / name


def ensemble_path(checkpoint: Checkpoint, head: HeadSpec) -> Path:
    """Return the file with the passport of a head put together from parts."""
    return checkpoint.model_directory(head) / ENSEMBLE_FILE
