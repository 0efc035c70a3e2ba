"""Variations of a pre-processed sample, so that one file of a modality gives several inputs.

They keep the shape and the type of every tensor and change what a recording would change: the
part of the scene, its side, its brightness, the direction of time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from omnivec2.arrays import Array
from omnivec2.preprocess import Sample
from omnivec2.spec import Modality

_Vary = Callable[[Sample, np.random.Generator], Sample]

_SMALLEST_CROP = 0.3


def is_varied(modality: Modality) -> bool:
    """Whether the samples of a modality have variations."""
    return modality in _VARIATIONS


def vary(modality: Modality, sample: Sample, rng: np.random.Generator) -> Sample:
    """Return a variation of a sample.

    Args:
        modality: The modality of the sample, one that has variations.
        sample: The tensors of a sample, without a batch axis.
        rng: The source of randomness.
    """
    return _VARIATIONS[modality](sample, rng)


def _vary_pixels(sample: Sample, rng: np.random.Generator) -> Sample:
    """Crop a scene to a random part and enlarge it again, mirror it, and change its brightness."""
    return {name: _vary_scene(array, rng, axes=(0, 1)) for name, array in sample.items()}


def _vary_frames(sample: Sample, rng: np.random.Generator) -> Sample:
    """Do the same to all frames, and reverse time in half of all cases."""
    reverse = rng.random() < 0.5
    return {
        name: _vary_scene(array[::-1] if reverse else array, rng, axes=(1, 2))
        for name, array in sample.items()
    }


def _vary_scene(array: Array, rng: np.random.Generator, axes: tuple[int, int]) -> Array:
    part = rng.uniform(_SMALLEST_CROP, 1.0)
    for axis in axes:
        size = array.shape[axis]
        first = rng.uniform(0, (1 - part) * size)
        rows = np.clip((first + (np.arange(size) + 0.5) * part).astype(int), 0, size - 1)
        array = array.take(rows, axis=axis)
    if rng.random() < 0.5:
        array = np.flip(array, axis=axes[1])
    bright = array.astype(np.float64) * rng.uniform(0.7, 1.3)
    limits = np.iinfo(array.dtype) if array.dtype.kind == "u" else None
    if limits is not None:
        bright = np.clip(np.rint(bright), limits.min, limits.max)
    return np.ascontiguousarray(bright.astype(array.dtype))


def _vary_spectrogram(sample: Sample, rng: np.random.Generator) -> Sample:
    """Move a sound in time, and change its level, which adds to all logarithms."""
    fbank = sample["fbank"]
    moved = np.roll(fbank, int(rng.integers(len(fbank))), axis=0)
    return {**sample, "fbank": (moved + rng.uniform(-2, 1)).astype(fbank.dtype)}


def _vary_series(sample: Sample, rng: np.random.Generator) -> Sample:
    """Reverse, move, stretch and raise a series."""
    values = np.roll(sample["values"], int(rng.integers(len(sample["values"]))))
    values = values[::-1] if rng.random() < 0.5 else values
    changed = values * rng.uniform(0.5, 2) + rng.normal() * values.std()
    return {**sample, "values": changed.astype(values.dtype)}


def _vary_motion(sample: Sample, rng: np.random.Generator) -> Sample:
    """Reverse a motion, and scale each axis of the sensors."""
    signal = sample["signal"]
    signal = signal[::-1] if rng.random() < 0.5 else signal
    scaled = signal * rng.uniform(0.5, 1.5, signal.shape[1])
    return {**sample, "signal": np.ascontiguousarray(scaled.astype(signal.dtype))}


def _vary_points(sample: Sample, rng: np.random.Generator) -> Sample:
    """Turn a cloud about each axis and change its proportions."""
    orthogonal, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    change = (orthogonal * rng.uniform(0.6, 1.0, 3)).astype(np.float32)
    return {name: np.asarray(array @ change, array.dtype) for name, array in sample.items()}


def _vary_spectrum(sample: Sample, rng: np.random.Generator) -> Sample:
    """Change the brightness of a window, more at one end of the spectrum than at the other."""
    window = sample["window"]
    first, last = rng.uniform(0.7, 1.3, 2).tolist()
    tilt = np.linspace(first, last, window.shape[-1])
    return {**sample, "window": (window * tilt).astype(window.dtype)}


_VARIATIONS: Mapping[Modality, _Vary] = {
    Modality.IMAGE: _vary_pixels,
    Modality.XRAY: _vary_pixels,
    Modality.INFRARED: _vary_pixels,
    Modality.VIDEO: _vary_frames,
    Modality.DEPTH: _vary_frames,
    Modality.AUDIO: _vary_spectrogram,
    Modality.TIMESERIES: _vary_series,
    Modality.IMU: _vary_motion,
    Modality.POINTCLOUD: _vary_points,
    Modality.HYPERSPECTRAL: _vary_spectrum,
}
