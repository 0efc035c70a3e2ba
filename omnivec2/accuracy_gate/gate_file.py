"""The file ``gate.npz`` of a head: inputs, reference answers and a tolerance.

::

    input.<name>     the tensors that the head takes, (rows, ...)
    output.<name>    the answers of the network in float32, (rows, ...); of a head that writes
                     text those of its decoder, (rows, steps, ...)
    tolerance        the largest distance in metric points that passes
    scales           what a difference is divided by, where answers have a unit
    words            of a head that writes text: what its decoder is given at each step

Nothing in it is unpickled, and its sizes are checked before an array is read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnivec2.arrays import Array
from omnivec2.atomic_files import write_file
from omnivec2.errors import ArtifactError
from omnivec2.generation import COPIED, GENERATED
from omnivec2.spec import HeadSpec, TensorSpec

MAX_ROWS = 64
MAX_STEPS = 16
_MAX_FILE_BYTES = 8 * 2**20
_MAX_ARRAY_BYTES = 64 * 2**20
"""The limit on all arrays of a file together."""
_MAX_TOLERANCE = 100.0
_INPUT, _OUTPUT = "input.", "output."
_TOLERANCE, _SCALES, _WORDS = "tolerance", "scales", "words"


@dataclass(frozen=True)
class Gate:
    """Real inputs of a head, and the answers that an engine is compared with.

    Attributes:
        inputs: The tensors that the head takes: name -> array (rows, ...).
        outputs: The answers of the network in float32: name -> array (rows, ...). Of a head that
            writes text they are its decoder's ``generated`` and ``copied``, (rows, steps, words).
        tolerance: The largest distance that passes, in metric points.
        scales: The divisors of differences, of a shape that goes with the answers' last axis;
            None where the answers have no unit.
        words: The words that the decoder of a head that writes text is given at each step, as
            places in its vocabulary: int32 (rows, steps).
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    tolerance: float
    scales: Array | None = None
    words: Array | None = None

    @property
    def rows(self) -> int:
        """The number of samples."""
        return len(next(iter(self.inputs.values())))


def write_gate(path: Path, gate: Gate) -> None:
    """Write the gate file of a head; equal gates give equal bytes.

    Raises:
        OSError: The disk is full or read-only.
    """
    arrays = {f"{_INPUT}{name}": array for name, array in gate.inputs.items()}
    arrays |= {f"{_OUTPUT}{name}": array for name, array in gate.outputs.items()}
    arrays[_TOLERANCE] = np.array(gate.tolerance, np.float64)
    if gate.scales is not None:
        arrays[_SCALES] = gate.scales
    if gate.words is not None:
        arrays[_WORDS] = gate.words
    data = io.BytesIO()
    np.savez_compressed(data, allow_pickle=False, **arrays)
    write_file(path, data.getvalue())


def read_gate(path: Path, spec: HeadSpec) -> Gate:
    """Read the gate file of a head and check it against the head's spec.

    Args:
        path: The file.
        spec: The spec of the head.

    Raises:
        ArtifactError: The file is missing, too large, not a gate file, or another head's.
    """
    try:
        arrays = _read_arrays(path)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ArtifactError(f"{path}: not a gate file: {error}") from error
    try:
        return _checked(arrays, spec)
    except ValueError as error:
        raise ArtifactError(f"{path}: not the gate file of {spec.route}: {error}") from error


def _read_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays of a file by name.

    Raises:
        ValueError: A size is over its limit, or an array would have to be unpickled.
    """
    if (size := path.stat().st_size) > _MAX_FILE_BYTES:
        raise ValueError(f"it has {size:,} bytes, at most {_MAX_FILE_BYTES:,} are allowed")
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > _MAX_ARRAY_BYTES:
        raise ValueError(f"it unpacks to {unpacked:,} bytes, at most {_MAX_ARRAY_BYTES:,} may be")
    with np.load(path, allow_pickle=False) as file:
        return {name: np.asarray(file[name]) for name in file.files}


def _checked(arrays: dict[str, Array], spec: HeadSpec) -> Gate:
    """Return the gate that arrays make, if they are the spec's.

    Raises:
        ValueError: They are not; the message names the array.
    """
    inputs = _with_prefix(arrays, _INPUT)
    outputs = _with_prefix(arrays, _OUTPUT)
    scales, words = arrays.pop(_SCALES, None), arrays.pop(_WORDS, None)
    tolerance = arrays.pop(_TOLERANCE, np.array(np.nan))
    if arrays:
        raise ValueError(f"it holds {', '.join(sorted(arrays))}, which is not known")
    if tolerance.shape != () or not 0 < float(tolerance) <= _MAX_TOLERANCE:
        raise ValueError(f"tolerance must be a number above 0 and at most {_MAX_TOLERANCE:g}")
    rows = len(next(iter(inputs.values()))) if inputs else 0
    if not 0 < rows <= MAX_ROWS:
        raise ValueError(f"it has {rows} rows, 1 to {MAX_ROWS} are allowed")
    _check_tensors(inputs, spec.inputs, rows)
    if spec.generation is None:
        exact = {name: array.astype(np.float32) for name, array in outputs.items()}
        _check_tensors(exact, spec.outputs, rows)
    else:
        _check_steps(outputs, words, rows)
    _check_finite({**outputs, **({} if scales is None else {_SCALES: scales})})
    if scales is not None and not (scales > 0).all():
        raise ValueError(f"{_SCALES} must be above 0")
    return Gate(inputs, outputs, float(tolerance), scales, words)


def _with_prefix(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    """Take the arrays out whose names have a prefix, and return them by the rest of it."""
    names = [name for name in arrays if name.startswith(prefix)]
    return {name.removeprefix(prefix): arrays.pop(name) for name in names}


def _check_tensors(arrays: Mapping[str, Array], specs: tuple[TensorSpec, ...], rows: int) -> None:
    if set(arrays) != {tensor.name for tensor in specs}:
        raise ValueError(f"it has the tensors {', '.join(sorted(arrays)) or 'of none'}")
    for tensor in specs:
        array = arrays[tensor.name]
        fits = array.ndim == len(tensor.shape) + 1 and all(
            want in (-1, have) for want, have in zip(tensor.shape, array.shape[1:], strict=True)
        )
        if array.dtype != np.dtype(tensor.dtype) or not fits or len(array) != rows:
            raise ValueError(f"{tensor.name} is {array.dtype} {array.shape}")


def _check_steps(outputs: Mapping[str, Array], words: Array | None, rows: int) -> None:
    if words is None or words.dtype != np.int32 or words.ndim != 2 or len(words) != rows:
        raise ValueError(f"{_WORDS} must be int32 (rows, steps)")
    steps = words.shape[1]
    if not 0 < steps <= MAX_STEPS:
        raise ValueError(f"it has {steps} steps, 1 to {MAX_STEPS} are allowed")
    if set(outputs) != {GENERATED, COPIED}:
        raise ValueError(f"it has the outputs {', '.join(sorted(outputs)) or 'of none'}")
    for name, array in outputs.items():
        if array.ndim != 3 or array.shape[:2] != words.shape:
            raise ValueError(f"{name} is {array.shape}")


def _check_finite(arrays: Mapping[str, Array]) -> None:
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite numbers")
