"""The inputs of a head's gate file: real files through the pre-processor that serves.

::

    files of the modality ─┐
    written_inputs ────────┴─► pre-processor ─► samples ─► vary ─► candidates

Where there are no files of a modality, or none that a head takes, its pre-processor draws the
inputs, as it does for parity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from export.gate.sample_variations import is_varied, vary
from export.gate.written_inputs import written_inputs
from export.parity.random_samples import length_axes, random_inputs
from omnivec2.arrays import Array
from omnivec2.errors import OmniVecError
from omnivec2.preprocess import Preprocessor, Sample, preprocessor_for
from omnivec2.spec import HeadSpec, Modality

GATE_FILES = Path(__file__).resolve().parents[2] / "tests" / "data"
"""Files of every modality that come with the source; not part of an installed package."""

_SAMPLES_PER_FILE = 32
_PIXEL_BITS = 0xF0
_STEP_LEVELS = 64
"""Pixels are rounded to 16 levels, numbers to steps of an eighth of their spread: real inputs
still, in files that are a third as large."""


def candidate_samples(head: HeadSpec, folder: Path, count: int) -> list[Sample]:
    """Return inputs of a head; the same arguments always give the same inputs.

    Args:
        head: The spec of the head.
        folder: A folder with a folder of files per modality; it need not be there.
        count: The number of inputs; there may be fewer texts and molecules.
    """
    rng = np.random.default_rng(0)
    if real := _real_samples(head, folder):
        chosen = [real[index] for index in _spread(len(real), count)]
        varied = map(_rounded, _variations(head, real, rng))
        chosen += islice(varied, count - len(chosen))
        return chosen
    return _drawn(head, count, rng)


def _drawn(head: HeadSpec, count: int, rng: np.random.Generator) -> list[Sample]:
    """Return inputs that the pre-processor draws."""
    lengths = {name: axis.examples[-1] for name, axis in length_axes(head).items()}
    batch = random_inputs(head, count, lengths, rng)
    return [{name: array[row] for name, array in batch.items()} for row in range(count)]


def _real_samples(head: HeadSpec, folder: Path) -> list[Sample]:
    """Return the different samples of all written inputs and all files that a head takes."""
    preprocessor = preprocessor_for(head)
    samples: dict[bytes, Sample] = {}
    for native in _decoded(head, preprocessor, folder / head.modality.value):
        try:
            prepared = preprocessor.prepare(native).samples
        except OmniVecError:
            continue
        for index in _spread(len(prepared), _SAMPLES_PER_FILE):
            sample = _rounded(prepared[index])
            if not _fits(head, sample):
                break  # the spec leaves open what its tensors then fix, such as the channels
            samples.setdefault(b"".join(array.tobytes() for array in sample.values()), sample)
    return list(samples.values())


def _fits(head: HeadSpec, sample: Sample) -> bool:
    """Whether a sample has the tensors of a head spec."""
    return all(
        len(sample[tensor.name].shape) == len(tensor.shape)
        and all(
            wanted in (-1, size)
            for wanted, size in zip(tensor.shape, sample[tensor.name].shape, strict=True)
        )
        for tensor in head.inputs
    )


def _decoded(
    head: HeadSpec, preprocessor: Preprocessor[Any, Any], folder: Path
) -> Iterator[object]:
    """Yield the inputs that a head takes, before they are prepared; others are left out."""
    for value in written_inputs(head):
        try:
            yield preprocessor.decode_json(value)
        except OmniVecError:
            continue
    for file in sorted(folder.glob("*")):
        if file.suffix == ".md" or not file.is_file():
            continue
        try:
            yield preprocessor.decode(file.read_bytes())
        except OmniVecError:
            continue


def _spread(available: int, most: int) -> list[int]:
    """Return at most ``most`` of the indices below ``available``, evenly spaced."""
    count = min(available, most)
    indices: list[int] = np.linspace(0, available - 1, count).round().astype(int).tolist()
    return indices


def _variations(
    head: HeadSpec, real: Sequence[Sample], rng: np.random.Generator
) -> Iterator[Sample]:
    """Yield variations of samples without end; none of what is only written, which repeats."""
    if head.modality is Modality.TABULAR:
        rows = [*real, *_drawn(head, len(real), rng)]
        while True:
            yield _mixed_row(rows, rng)
    if is_varied(head.modality):
        for sample in cycle(real):
            yield vary(head.modality, sample, rng)


def _mixed_row(rows: Sequence[Sample], rng: np.random.Generator) -> Sample:
    """Return a row of a table each of whose columns is that of some row."""
    mixed: dict[str, Array] = {}
    for name, first in rows[0].items():
        columns = [rows[int(rng.integers(len(rows)))][name][place] for place in range(len(first))]
        mixed[name] = np.asarray(columns, first.dtype)
    return mixed


def _rounded(sample: Sample) -> Sample:
    """Round measured numbers, which are then still those of a real input; ids stay as they are."""
    return {name: _round_array(array) for name, array in sample.items()}


def _round_array(array: Array) -> Array:
    if array.dtype == np.uint8 and array.max(initial=0) > 1:  # pixels, not a mask
        return np.asarray(array & _PIXEL_BITS, np.uint8)
    if array.dtype.kind != "f" or not array.std():
        return array
    step = 2.0 ** np.floor(np.log2(array.std() * 8 / _STEP_LEVELS))
    return np.asarray(np.rint(array / step) * step, array.dtype)
