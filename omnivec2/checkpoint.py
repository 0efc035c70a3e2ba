"""Reading and writing a checkpoint directory: safetensors and JSON, never pickle.

::

    config.json                      the configuration of the network
    weights.safetensors              every tensor, once; graphs refer to its byte ranges
    models/<modality>_<task>/        head.json, and once exported model.onnx + passport.json

Large matrices are stored as int8 with one float32 scale per row (``<name>.scale``),
other floats as float16 where that keeps them, else as float32. ``load_tensors`` and
the exported graphs undo this in the same way, so PyTorch and ONNX compute with equal numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from omnivec2.arrays import Array
from omnivec2.atomic_files import recover_directory, replacing_directory, write_file
from omnivec2.digests import file_digest
from omnivec2.errors import CheckpointError
from omnivec2.spec import HeadSpec

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.safetensors"
MODELS_DIRECTORY = "models"
HEAD_FILE = "head.json"
SCALE_SUFFIX = ".scale"

INT8_MIN_ELEMENTS = 16_384
_FLOAT16_RELATIVE_ERROR = 1e-3
# float16 keeps a normal number within 2**-11 = 4.9e-4 of itself; a larger error means that the
# number is out of its range. Entries of a matrix under a hundredth of its largest count as that.
_MATRIX_FLOOR = 1e-2


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint directory, without its weights.

    Attributes:
        directory: The directory.
        config: The configuration of the network.
        heads: The spec of every head, in the order of their names.
        digest: The sha256 of the weights file.
    """

    directory: Path
    config: dict[str, JsonValue]
    heads: tuple[HeadSpec, ...]
    digest: str

    @property
    def weights_path(self) -> Path:
        """The weights file."""
        return self.directory / WEIGHTS_FILE

    def model_directory(self, head: HeadSpec) -> Path:
        """Return the directory of a head's spec, graph and passport."""
        return self.directory / MODELS_DIRECTORY / head.name


def write_checkpoint(
    directory: Path,
    *,
    config: Mapping[str, JsonValue],
    tensors: Mapping[str, Array],
    heads: Sequence[HeadSpec],
    stored: Mapping[str, Array] | None = None,
) -> Checkpoint:
    """Write a checkpoint, which replaces an earlier one only when all of it is written.

    Exported graphs of a replaced checkpoint are removed: they belong to other weights.

    Args:
        directory: The directory; its parent is made if need be.
        config: The configuration of the network, as a JSON value.
        tensors: The tensors by name, of any dtype that safetensors knows; floats are quantised.
        heads: The specs of the heads; their ``checkpoint_digest`` is filled in.
        stored: The tensors of another checkpoint as they are stored there; they are kept bit for
            bit, so that graphs of both compute the same with them.

    Raises:
        CheckpointError: A tensor is not finite or not storable, or a name is taken twice.
        OSError: The disk is full or read-only.
    """
    names = [head.name for head in heads]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CheckpointError(f"{directory}: two heads are named {', '.join(twice)}")
    weights = save({**(stored or {}), **quantise(tensors)})
    digest = hashlib.sha256(weights).hexdigest()
    directory.parent.mkdir(parents=True, exist_ok=True)
    with replacing_directory(directory) as staging:
        write_file(staging / CONFIG_FILE, _json(dict(config)))
        write_file(staging / WEIGHTS_FILE, weights)
        written = tuple(
            write_head(staging, head.model_copy(update={"checkpoint_digest": digest}))
            for head in sorted(heads, key=lambda head: head.name)
        )
    return Checkpoint(directory, dict(config), written, digest)


def write_head(directory: Path, head: HeadSpec) -> HeadSpec:
    """Write one head's spec into a checkpoint, for example with new metrics.

    Raises:
        OSError: The disk is full or read-only.
    """
    target = directory / MODELS_DIRECTORY / head.name / HEAD_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    write_file(target, _json(head.model_dump(mode="json")))
    return head


def read_checkpoint(directory: Path) -> Checkpoint:
    """Read a checkpoint's config and head specs, and check that they belong to its weights.

    Raises:
        CheckpointError: A file is missing or unreadable, or a head is of other weights.
    """
    recover_directory(directory)
    config = _read_config(directory / CONFIG_FILE)
    try:
        digest = file_digest(directory / WEIGHTS_FILE)
    except OSError as error:
        raise _unreadable(directory / WEIGHTS_FILE, error) from error
    heads = tuple(
        _read_head(path, digest)
        for path in sorted((directory / MODELS_DIRECTORY).glob(f"*/{HEAD_FILE}"))
    )
    return Checkpoint(directory, config, heads, digest)


def load_tensors(directory: Path) -> dict[str, Array]:
    """Read all tensors as the network computes with them.

    Returns:
        The arrays by name; floats as float32 with int8 rows multiplied out, others as stored.

    Raises:
        CheckpointError: The weights file is missing, truncated or not safetensors.
    """
    return dequantise(load_stored_tensors(directory))


def load_stored_tensors(directory: Path) -> dict[str, Array]:
    """Read all tensors as they are stored, scales included.

    Raises:
        CheckpointError: The weights file is missing, truncated or not safetensors.
    """
    path = directory / WEIGHTS_FILE
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise _unreadable(path, error) from error
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error


def quantise(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Convert tensors to the form they are stored in.

    Raises:
        CheckpointError: A tensor is not finite, or its scale's name is taken.
    """
    stored: dict[str, Array] = {}
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name]).reshape(np.shape(tensors[name]))
        for key, value in _quantise_tensor(name, array):
            if key in stored or (key != name and key in tensors):
                raise CheckpointError(f"tensor name {key} is taken by the scale of {name}")
            stored[key] = value
    return stored


def dequantise(stored: Mapping[str, Array]) -> dict[str, Array]:
    """Undo ``quantise``: floats as float32, others as stored."""
    tensors: dict[str, Array] = {}
    for name, array in stored.items():
        if is_quantised(name, stored):
            scale = stored[f"{name}{SCALE_SUFFIX}"]
            tensors[name] = array.astype(np.float32) * broadcast_scale(scale, array.ndim)
        elif not is_scale(name, stored):
            tensors[name] = array.astype(np.float32) if array.dtype.kind == "f" else array
    return tensors


def is_quantised(name: str, stored: Mapping[str, Array]) -> bool:
    """Whether a stored tensor is int8 rows with a scale beside it."""
    return stored[name].dtype == np.int8 and f"{name}{SCALE_SUFFIX}" in stored


def is_scale(name: str, stored: Mapping[str, Array]) -> bool:
    """Whether a stored tensor is the scale of another."""
    base = name.removesuffix(SCALE_SUFFIX)
    return base != name and base in stored and is_quantised(base, stored)


def broadcast_scale(scale: Array, ndim: int) -> Array:
    """Return a row scale (rows,) as (rows, 1, ...) of ``ndim`` axes."""
    return scale.reshape(-1, *(1,) * (ndim - 1))


def _quantise_tensor(name: str, array: Array) -> Iterable[tuple[str, Array]]:
    """Return what is stored of one tensor, by name: itself, or int8 rows and their scale."""
    if array.dtype.kind != "f":
        return [(name, array)]
    if not np.isfinite(array).all():
        raise CheckpointError(f"tensor {name} holds values that are not finite")
    with np.errstate(over="ignore"):
        exact = array.astype(np.float32)
    if not np.isfinite(exact).all():
        raise CheckpointError(f"tensor {name} holds values outside the range of float32")
    # A single row would have one scale for the whole tensor (position tables are 1 x N x D).
    if exact.ndim > 1 and exact.shape[0] > 1 and exact.size >= INT8_MIN_ELEMENTS:
        largest = np.abs(exact).reshape(len(exact), -1).max(axis=1)
        # Below the smallest normal number the division would lose the row's digits.
        scale = np.where(largest > 127 * np.finfo(np.float32).tiny, largest / 127, 1)
        scale = scale.astype(np.float32)
        rows = np.rint(exact / broadcast_scale(scale, exact.ndim))
        return [(name, rows.astype(np.int8)), (f"{name}{SCALE_SUFFIX}", scale)]
    return [(name, _float16_if_kept(exact))]


def _float16_if_kept(exact: Array) -> Array:
    with np.errstate(over="ignore"):
        half = exact.astype(np.float16)
    size = np.abs(exact)
    if exact.ndim > 1 and exact.size:
        size = np.maximum(size, _MATRIX_FLOOR * size.max())
    kept = np.abs(half.astype(np.float32) - exact) <= _FLOAT16_RELATIVE_ERROR * size
    return half if kept.all() else exact


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _read_config(path: Path) -> dict[str, JsonValue]:
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    return config


def _read_head(path: Path, digest: str) -> HeadSpec:
    try:
        head = HeadSpec.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CheckpointError(f"{path}: not a head spec: {where}: {first['msg']}") from error
    if head.name != path.parent.name:
        raise CheckpointError(f"{path}: holds the spec of {head.name}")
    if head.checkpoint_digest != digest:
        raise CheckpointError(f"{path}: belongs to other weights than {WEIGHTS_FILE} beside it")
    return head


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    reason = "is missing" if isinstance(error, FileNotFoundError) else f"({error.strerror})"
    return CheckpointError(f"{path}: cannot be read: the file {reason}")
