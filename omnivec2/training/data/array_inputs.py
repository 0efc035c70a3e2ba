"""Inputs that are given as arrays instead of files, prepared by the pre-processors that serve."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Array, Prepared, Preprocessor
from omnivec2.preprocess.imu import Recording
from omnivec2.preprocess.timeseries import Series
from omnivec2.spec import Modality

AnyPreprocessor = Preprocessor[Any, Any]


def prepare_array(array: Array, preprocessor: AnyPreprocessor) -> Prepared:
    """Prepare an input that is given as an array.

    Args:
        array: The pixels of a picture (H, W, C) or (H, W), a recording (samples, channels), a
            series (steps,), or what an ``.npy`` file of the modality would hold.
        preprocessor: The pre-processor of the modality.

    Raises:
        InputError: The modality takes no arrays, or not this one.
    """
    prepare = _OF_MODALITY.get(preprocessor.modality)
    if prepare is None:
        raise InvalidInputError(
            f"arrays are not taken for {preprocessor.modality.value}; give files or a table"
        )
    return prepare(array, preprocessor)


def _picture(array: Array, preprocessor: AnyPreprocessor) -> Prepared:
    return preprocessor.prepare(array[..., 0] if array.shape[2:] == (1,) else array)


def _npy_file(array: Array, preprocessor: AnyPreprocessor) -> Prepared:
    file = io.BytesIO()
    np.save(file, array[None] if array.ndim == 1 else array)
    return preprocessor.prepare(preprocessor.decode(file.getvalue()))


def _recording(array: Array, preprocessor: AnyPreprocessor) -> Prepared:
    return preprocessor.prepare(Recording(array.astype(np.float64)))


def _series(array: Array, preprocessor: AnyPreprocessor) -> Prepared:
    flat = array[:, 0] if array.shape[1:] == (1,) else array
    if flat.ndim != 1:
        raise InvalidInputError(
            f"expected one series (steps,), got {array.shape}; several channels are imu/…"
        )
    return preprocessor.prepare(Series.of({"target": flat}))


_OF_MODALITY: dict[Modality, Callable[[Array, AnyPreprocessor], Prepared]] = {
    Modality.IMAGE: _picture,
    Modality.INFRARED: _picture,
    Modality.XRAY: _picture,
    Modality.DEPTH: _npy_file,
    Modality.POINTCLOUD: _npy_file,
    Modality.HYPERSPECTRAL: _npy_file,
    Modality.IMU: _recording,
    Modality.TIMESERIES: _series,
}
