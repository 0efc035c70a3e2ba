"""Depth pictures and sequences -> millimetres, 0 where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import (
    Array,
    Parameters,
    Prepared,
    Preprocessor,
    input_shape,
    json_type,
)
from omnivec2.preprocess.formats.guards.decoding_guard import check_frames, check_pixels, format_of
from omnivec2.preprocess.formats.media.frame_sampling import uniform_frames
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.tiff import read_tiff
from omnivec2.preprocess.formats.science.npy import MAGIC, read_npy
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

NPY = "application/x-npy"
MILLIMETRES_PER_UNIT = {"m": 1000.0, "mm": 1.0}
_FARTHEST_MM = np.iinfo(np.uint16).max
_PICTURE_AXES, _SEQUENCE_AXES = 2, 3


class DepthParameters(Parameters):
    """Frozen parameters of the depth preprocessor."""

    frames: int = 16
    height: int = 64
    width: int = 80
    max_mm: int = 4080


class DepthPreprocessor(Preprocessor[DepthParameters, npt.NDArray[np.uint16]]):
    """16-bit PNG, NPY or TIFF -> ``frames`` depth pictures of ``height`` x ``width``."""

    modality = Modality.DEPTH
    media_types: ClassVar[dict[str, str]] = {
        "image/png": "PNG",
        "image/x-png": "PNG",
        NPY: "NPY",
        "application/npy": "NPY",
        "application/x-numpy": "NPY",
        "image/tiff": "TIFF",
        "image/x-tiff": "TIFF",
    }
    parameters_type = DepthParameters
    default_limits = Limits(bytes=64 * 2**20, pixels=16_000_000, frames=600)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """``depth`` uint16 (frames, height, width) in millimetres, 0 = no data."""
        p = self.parameters
        return (TensorSpec(name="depth", dtype="uint16", shape=(p.frames, p.height, p.width)),)

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw flat walls at any distance, rough, with a tenth of the pixels missing."""
        shape = (batch, *input_shape(head, "depth"))
        millimetres = rng.uniform(500, 4000, (*shape[:2], 1, 1)) + rng.normal(0, 150, shape)
        return {"depth": np.clip(millimetres, 1, 4080) * (rng.random(shape) > 0.1)}

    @property
    def accepts(self) -> str:
        """The accepted formats with their units, which a file does not state."""
        return "16-bit PNG or TIFF (mm), NPY (metres if floating point, else mm)"

    @property
    def json_example(self) -> JsonValue:
        """Two rows of three pixels in metres."""
        return {"depth": [[1.52, 1.53, 0.0], [1.51, 1.53, 1.6]], "unit": "m"}

    def sniff(self, data: bytes) -> str | None:
        """Detect the content type by magic bytes."""
        return NPY if data.startswith(MAGIC) else raster.sniff(data)

    def decode(self, data: bytes, media_type: str | None = None) -> npt.NDArray[np.uint16]:
        """Decode one file to millimetres (frames, height, width); see the base for errors."""
        kind = format_of(data, self.sniff(data), media_type, self.media_types)
        return self._READERS[kind](self, data)

    def decode_json(self, value: JsonValue) -> npt.NDArray[np.uint16]:
        """Decode base64 of a file, or ``{"depth": [[...]], "unit": "m" | "mm"}`` (default m)."""
        if not isinstance(value, dict):
            return super().decode_json(value)
        unknown = sorted(set(value) - {"depth", "unit"})
        if unknown or "depth" not in value:
            raise InvalidInputError(
                f'expected {{"depth": [[...]], "unit": "m"}}, got the keys {sorted(value)}',
                field="inputs",
                known=("depth", "unit"),
            )
        unit = value.get("unit", "m")
        if not isinstance(unit, str) or unit not in MILLIMETRES_PER_UNIT:
            raise InvalidInputError(
                f"unit must be m or mm, got {unit!r}",
                field="inputs.unit",
                known=tuple(MILLIMETRES_PER_UNIT),
            )
        scale = MILLIMETRES_PER_UNIT[unit]
        return self._sequence(_numbers(value["depth"]), scale, "depth")

    def prepare(self, native: npt.NDArray[np.uint16]) -> Prepared:
        """Choose frames evenly, resize by nearest pixel, cut at ``max_mm``.

        Depths are never averaged: there is nothing between a person and the wall behind. A
        sequence that is too short repeats its last frame.

        Args:
            native: An array of millimetres, (frames, height, width) or (height, width);
                0 means no data.
        """
        sequence = native[None] if native.ndim == _PICTURE_AXES else native
        count, height, width = sequence.shape
        p = self.parameters
        if count >= p.frames:
            chosen = uniform_frames(count, p.frames)
        else:
            chosen = np.minimum(np.arange(p.frames), count - 1)
        rows, columns = uniform_frames(height, p.height), uniform_frames(width, p.width)
        depth = sequence[np.ix_(chosen, rows, columns)]
        return Prepared(
            [{"depth": np.minimum(depth, p.max_mm).astype(np.uint16)}], {"size": (width, height)}
        )

    def _read_png(self, data: bytes) -> npt.NDArray[np.uint16]:
        picture = raster.open_picture(data, "PNG", self.limits)
        if not picture.mode.startswith("I"):
            raise InvalidInputError(
                f"expected a 16-bit grey PNG in millimetres, got one of mode {picture.mode}",
                field="inputs",
            )
        raster.load(picture, "PNG")
        return self._sequence(np.asarray(picture), None, "PNG")

    def _read_npy(self, data: bytes) -> npt.NDArray[np.uint16]:
        return self._sequence(read_npy(data, self.limits.decoded_bytes), None, "NPY")

    def _read_tiff(self, data: bytes) -> npt.NDArray[np.uint16]:
        return self._sequence(read_tiff(data, self.limits), None, "TIFF")

    _READERS: ClassVar = {"PNG": _read_png, "NPY": _read_npy, "TIFF": _read_tiff}

    def _sequence(self, values: Array, scale: float | None, kind: str) -> npt.NDArray[np.uint16]:
        """Check values and convert them to millimetres (frames, height, width).

        Without ``scale`` the type decides: floating point numbers are metres.
        """
        if values.ndim not in (_PICTURE_AXES, _SEQUENCE_AXES):
            raise InvalidInputError(
                f"expected depth (height, width) or (frames, height, width), got {values.shape}",
                field="inputs",
            )
        sequence = values[None] if values.ndim == _PICTURE_AXES else values
        check_frames(len(sequence), self.limits, kind)
        check_pixels(sequence.shape[2], sequence.shape[1], self.limits, kind)
        if scale is None:
            unit = "m" if values.dtype.kind == "f" else "mm"
            if values.dtype.itemsize == 1:
                raise InvalidInputError(
                    "8-bit numbers cannot hold depth in mm; expected 16 bits", field="inputs"
                )
            scale = MILLIMETRES_PER_UNIT[unit]
        return to_millimetres(sequence, scale)


def to_millimetres(values: Array, scale: float) -> npt.NDArray[np.uint16]:
    """Convert depths to uint16 millimetres; values not finite or not positive become 0, "no data".

    Args:
        values: An array of depths of any real type.
        scale: The number of millimetres per unit of ``values``.

    Raises:
        InvalidInputError: no pixel has a depth.
    """
    out = np.empty(values.shape, dtype=np.uint16)
    for source, target in zip(values, out, strict=True):  # frame by frame, for memory
        frame = source.astype(np.float64) * scale
        valid = np.isfinite(frame) & (frame > 0)
        target[...] = np.rint(np.clip(np.where(valid, frame, 0.0), 0, _FARTHEST_MM))
    if not out.any():
        raise InvalidInputError("no pixel has a depth: all are 0, negative or NaN", field="inputs")
    return out


def _numbers(value: JsonValue) -> Array:
    if not isinstance(value, list):
        raise InvalidInputError(
            f"expected nested lists of numbers, got {json_type(value)}", field="inputs.depth"
        )
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(
            "rows and frames of depth must be of the same length", field="inputs.depth"
        ) from error
    if array.dtype.kind not in "iuf":
        raise InvalidInputError("depth must hold numbers only", field="inputs.depth")
    return array


PREPROCESSOR = DepthPreprocessor
