"""The passport of an exported model: its origin, its parity and the digests of its files.

The exporter writes it, every runtime checks it before it loads a graph. This module
needs neither torch nor onnx, so that a gateway can check without either.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omnivec2.digests import file_digest
from omnivec2.errors import PassportError
from omnivec2.spec import HeadSpec

PASSPORT_FILE = "passport.json"
GRAPH_FILE = "model.onnx"
INT8_GRAPH_FILE = "model_int8.onnx"
"""The same graph with the layers that bear it quantised to int8, where there is one."""
GATE_FILE = "gate.npz"
"""Real inputs of a head and the reference answers that an engine must reproduce to serve it."""
PLAN_FILE = "model.plan"
MODEL_FILES = {"onnx": GRAPH_FILE, "tensorrt": PLAN_FILE}
"""The file that each engine runs."""
WEIGHTS_FILE = "weights.safetensors"

PARITY_TOLERANCE = 1e-4
"""The largest relative error against PyTorch at which an fp32 graph is the same model."""

PARITY_TOLERANCES = {"fp32": PARITY_TOLERANCE, "fp16": 1e-2, "bf16": 1e-1}
"""The same for each precision, with every half value rounded as an engine rounds it. Over
the reference heads on random inputs fp16 errs by at most 0.005, and bf16, whose fraction is
three bits shorter, by at most 0.09 (docs/tensorrt.md)."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
Precision = Literal["fp32", "fp16", "bf16"]
EnginePrecision = Literal["fp32", "bf16", "int8"]
"""What an engine may compute a graph in, whatever type its weights are stored in."""
Engine = Literal["onnx", "tensorrt"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ParityEntry(_Frozen):
    """One measured comparison of the graph with PyTorch eager on the same inputs."""

    batch_size: int = Field(ge=1)
    lengths: dict[str, int] = Field(default={}, description="dynamic axis -> its size")
    inputs: Literal["random", "sample"] = Field(
        default="random", description="made from the head spec, or real data"
    )
    worst_output: str = Field(description="the output with the largest error")
    max_relative_error: float = Field(
        ge=0, allow_inf_nan=False, description="max|a-b| / max(max|b|, 1e-6), b from PyTorch"
    )


class Int8Record(_Frozen):
    """How a model's int8 graph was made, and how far its answers are from those of float32."""

    int8_layers: int = Field(ge=0, description="number of layers that multiply in int8")
    kept_layers: tuple[str, ...] = Field(description="layers with int8 rows that stay float")
    kept_above: float = Field(
        gt=0, description="a layer stays float if it alone changes the features by more than this"
    )
    mean_relative_errors: dict[str, float] = Field(
        description="head -> mean|a-b| / mean|b| over calibration samples, b from the float graph"
    )


@dataclass(frozen=True)
class Dependencies:
    """The other models that a head is run with, each by the content digest it was exported with.

    Attributes:
        parts: A map from the parts that the head is put together from, in the order they run,
            to their digests; empty for a head in one piece.
        decoder: The digest of the decoder of a head that writes text.
    """

    parts: Mapping[str, str] = field(default_factory=dict)
    decoder: str | None = None


NO_DEPENDENCIES = Dependencies()


class Passport(_Frozen):
    """The origin of a model's files, and how closely they answer like the network."""

    schema_version: Literal[1] = 1
    model: str = Field(description="<modality>_<task>, or the name of a part")
    exporter: str = Field(description="what wrote the graph")
    opset: int
    versions: dict[str, str] = Field(description="library -> version at export")
    precision: Precision = Field(description="precision the graph computes in")
    engine: Engine = Field(default="onnx", description="what runs the model")
    layer_precisions: dict[str, int] = Field(
        default={}, description="TensorRT: dtype -> number of layers that give it"
    )
    gpu: str = Field(default="", description="TensorRT: the GPU the plan was built on and for")
    storage: dict[str, int] = Field(
        default={}, description="dtype -> number of weights stored in it"
    )
    checkpoint_digest: Sha256
    files: dict[FileName, Sha256] = Field(
        description="file beside the passport -> its sha256; an ensemble has no graph"
    )
    content_digest: Sha256 | None = Field(
        default=None, description="part: sha256 of its tensors' specs and of the weights it reads"
    )
    parts: dict[str, Sha256] = Field(
        default={}, description="ensemble: part -> content digest it was exported with"
    )
    decoder: Sha256 | None = Field(
        default=None,
        description="head that writes text: content digest of the decoder it is run with",
        exclude_if=lambda value: value is None,
    )
    int8: Int8Record | None = Field(
        default=None,
        description="part with an int8 graph: how that was made",
        exclude_if=lambda value: value is None,
    )
    tolerance: float = Field(gt=0, description="parity the export was held to")
    parity: tuple[ParityEntry, ...] = Field(min_length=1)
    created: datetime.date

    def dependencies(self, head: HeadSpec) -> dict[str, str]:
        """Return the models that a head is run with: its parts, in order, then its decoder.

        Args:
            head: The spec of the head that this is the passport of; it names the decoder.

        Returns:
            A map from names to the content digests that the head was exported with.
        """
        digests: dict[str, str] = dict(self.parts)
        if head.generation is not None:
            digests[head.generation.decoder] = self.decoder or ""
        return digests

    @property
    def files_digest(self) -> str:
        """The sha256 over the names and digests of its files: it changes with any of them."""
        names = "\n".join(f"{name} {digest}" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(names.encode()).hexdigest()

    @property
    def max_relative_error(self) -> float:
        """The largest error over all comparisons."""
        return max(entry.max_relative_error for entry in self.parity)


def load_passport(path: Path) -> Passport:
    """Read a passport.

    Raises:
        PassportError: The file is missing, unreadable or not a passport.
    """
    try:
        return Passport.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise PassportError(f"{path}: no passport; export the model again") from error
    except OSError as error:
        raise PassportError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise PassportError(f"{path}: not a passport: {where}: {first['msg']}") from error


def verify_passport(directory: Path) -> Passport:
    """Check that a model version's files are those its passport was written for.

    Args:
        directory: The version directory with ``passport.json`` and every file it names.

    Raises:
        PassportError: A file is missing or was altered, a graph or its weights are not
            vouched for, or the recorded parity is worse than its tolerance allows.
    """
    passport = load_passport(directory / PASSPORT_FILE)
    check_bounds(passport)
    present = {name for name in (WEIGHTS_FILE, INT8_GRAPH_FILE) if (directory / name).exists()}
    needed = present if passport.parts else present | {MODEL_FILES[passport.engine]}
    if unnamed := sorted(needed - passport.files.keys()):
        raise PassportError(f"{directory}: the passport does not vouch for {', '.join(unnamed)}")
    if passport.files.get(WEIGHTS_FILE, passport.checkpoint_digest) != passport.checkpoint_digest:
        raise PassportError(f"{directory}: {WEIGHTS_FILE} is not of the checkpoint it names")
    for name, expected in passport.files.items():
        if _digest(directory / name) != expected:
            raise PassportError(
                f"{directory}: {name} is not the file its passport was written for; "
                "export the model again"
            )
    return passport


def check_claims(passport: Passport, spec: HeadSpec) -> None:
    """Check a passport against a head spec, where the files are on another machine.

    Raises:
        PassportError: The passport is another model's, names another checkpoint than the head spec,
            or its parity is out of bounds.
    """
    if passport.model != spec.name:
        raise PassportError(f"{spec.name}: has the passport of {passport.model}")
    if spec.checkpoint_digest and passport.checkpoint_digest != spec.checkpoint_digest:
        raise PassportError(f"{spec.name}: head spec and passport name different checkpoints")
    check_bounds(passport)


def check_bounds(passport: Passport) -> None:
    """Check that the recorded parity is within what its precision allows.

    Raises:
        PassportError: The parity is out of bounds.
    """
    allowed = PARITY_TOLERANCES[passport.precision]
    if passport.tolerance > allowed:
        raise PassportError(
            f"{passport.model}: exported with tolerance {passport.tolerance:g}, "
            f"{passport.precision} allows {allowed:g}"
        )
    if passport.max_relative_error > passport.tolerance:
        raise PassportError(
            f"{passport.model}: recorded error {passport.max_relative_error:.1e} is over "
            f"its tolerance {passport.tolerance:.1e}"
        )


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except FileNotFoundError as error:
        raise PassportError(f"{path}: the file is missing") from error
    except OSError as error:
        raise PassportError(f"{path}: cannot be read: {error.strerror}") from error
