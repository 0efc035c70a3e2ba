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
from omnivec2.preprocess.formats.measurements.depth_units import (
    MILLIMETRES_PER_UNIT,
    DepthOptions,
    DepthUnit,
    concluded_scale,
    note_unusual,
    to_millimetres,
    unit_named,
    without_depth,
)
from omnivec2.preprocess.formats.measurements.tiff_tags import read_tiff_tags
from omnivec2.preprocess.formats.media.frame_sampling import uniform_frames
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.grey_pictures import read_grey_picture
from omnivec2.preprocess.formats.pictures.png_chunks import read_chunks
from omnivec2.preprocess.formats.pictures.tiff import read_tiff
from omnivec2.preprocess.formats.science.npy import MAGIC, read_npy
from omnivec2.preprocess.formats.science.npz import NpzArray, is_npz, read_npz
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import stated
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

NPY = "application/x-npy"
NPZ = "application/x-npz"
_PICTURE_AXES, _SEQUENCE_AXES = 2, 3
_DEEP_BITS = 16
_GREY_TYPES = (0, 4)  # of a PNG: grey, and grey with transparency
_FEWEST_PIXELS = 32
"""No camera's picture is narrower: an axis that is shorter, behind two longer ones, is time."""


class DepthParameters(Parameters):
    """Frozen parameters of the depth preprocessor."""

    frames: int = 16
    height: int = 64
    width: int = 80
    max_mm: int = 4080


class DepthPreprocessor(Preprocessor[DepthParameters, npt.NDArray[np.uint16]]):
    """16-bit PNG, NumPy or TIFF -> ``frames`` depth pictures of ``height`` x ``width``."""

    modality = Modality.DEPTH
    media_types: ClassVar[dict[str, str]] = {
        "image/png": "PNG",
        "image/x-png": "PNG",
        NPY: "NPY",
        "application/npy": "NPY",
        "application/x-numpy": "NPY",
        NPZ: "NPZ",
        "application/npz": "NPZ",
        "image/tiff": "TIFF",
        "image/x-tiff": "TIFF",
        "image/tif": "TIFF",
        "image/geotiff": "TIFF",
    }
    parameters_type = DepthParameters
    source_options_type = DepthOptions
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
        return "16-bit PNG or TIFF (mm), NPY or NPZ (metres if floating point, else mm)"

    @property
    def json_example(self) -> JsonValue:
        """Two rows of three pixels in metres."""
        return {"depth": [[1.52, 1.53, 0.0], [1.51, 1.53, 1.6]], "unit": "m"}

    def sniff(self, data: bytes) -> str | None:
        """Detect the content type by magic bytes."""
        if data.startswith(MAGIC):
            return NPY
        return NPZ if is_npz(data) else raster.sniff(data)

    def decode(self, data: bytes, media_type: str | None = None) -> npt.NDArray[np.uint16]:
        """Decode one file to millimetres (frames, height, width); see the base for errors."""
        sniffed = self.sniff(data)
        if sniffed in (NPY, NPZ) and self.media_types.get(media_type or "") in ("NPY", "NPZ"):
            media_type = sniffed  # both are NumPy's, and easily taken for one another
        kind = format_of(data, sniffed, media_type, self.media_types)
        return self._READERS[kind](self, data)

    def decode_json(self, value: JsonValue) -> npt.NDArray[np.uint16]:
        """Decode base64 of a file, or ``{"depth": [[...]], "unit": "m"}``.

        Without a unit numbers are metres, unless they are plainly millimetres.
        """
        if not isinstance(value, dict):
            return super().decode_json(value)
        unknown = sorted(set(value) - {"depth", "unit"})
        if unknown or "depth" not in value:
            raise InvalidInputError(
                f'expected {{"depth": [[...]], "unit": "m"}}, got the keys {sorted(value)}',
                field="inputs",
                known=("depth", "unit"),
            )
        depth = _numbers(value["depth"])
        if "unit" not in value:
            return self._sequence(depth, None, "depth", whole_are_mm=False)
        scale = MILLIMETRES_PER_UNIT[unit_named(value["unit"], "inputs.unit")]
        return self._sequence(depth, scale, "depth")

    def prepare(self, native: npt.NDArray[np.uint16]) -> Prepared:
        """Choose frames evenly, resize by nearest pixel, cut at ``max_mm``.

        Depths are never averaged: there is nothing between a person and the wall behind. A
        sequence that is too short repeats its last frame.

        Args:
            native: An array of millimetres, (frames, height, width) or (height, width);
                0 means no data.

        Context: ``size``, and ``frames``, the number of all frames.
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
            [{"depth": np.minimum(depth, p.max_mm).astype(np.uint16)}],
            {"size": (width, height), "frames": count},
        )

    def _read_png(self, data: bytes) -> npt.NDArray[np.uint16]:
        picture = raster.open_picture(data, "PNG", self.limits)
        stored = read_chunks(data)
        if stored.bit_depth != _DEEP_BITS or stored.colour_type not in _GREY_TYPES:
            raise InvalidInputError(
                f"expected a 16-bit grey PNG in millimetres, got one of mode {picture.mode} and "
                f"{stored.bit_depth} bits",
                field="inputs",
            )
        return self._sequence(read_grey_picture(data, "PNG", self.limits), None, "PNG")

    def _read_npy(self, data: bytes) -> npt.NDArray[np.uint16]:
        return self._sequence(read_npy(data, self.limits.decoded_bytes), None, "NPY")

    def _read_npz(self, data: bytes) -> npt.NDArray[np.uint16]:
        values, _ = read_npz(data, self.limits.decoded_bytes, _depth_array)
        return self._sequence(values, None, "NPZ")

    def _read_tiff(self, data: bytes) -> npt.NDArray[np.uint16]:
        tags = read_tiff_tags(data)
        pages = read_tiff(data, self.limits)
        values = np.stack([raster.upright_array(page, tags.orientation) for page in pages])
        if tags.no_data is not None:
            values = without_depth(values, tags.no_data)
        if tags.scale is None and not tags.unit:
            return self._sequence(values, None, "TIFF")
        unit = _unit_of(tags.unit)
        measured = values != 0
        values = np.where(measured, values * (tags.scale or 1.0) + tags.offset, 0.0)
        return self._sequence(values, MILLIMETRES_PER_UNIT[unit], "TIFF")

    _READERS: ClassVar = {
        "PNG": _read_png, "NPY": _read_npy, "NPZ": _read_npz, "TIFF": _read_tiff,
    }  # fmt: skip

    def _sequence(
        self, values: Array, scale: float | None, kind: str, *, whole_are_mm: bool = True
    ) -> npt.NDArray[np.uint16]:
        """Check values and convert them to millimetres (frames, height, width).

        Without ``scale`` the caller's statement decides, or else the values' type and size.
        """
        sequence = _frames_first(values)
        check_frames(len(sequence), self.limits, kind)
        check_pixels(sequence.shape[2], sequence.shape[1], self.limits, kind)
        if values.dtype.itemsize == 1:
            raise InvalidInputError(
                "8-bit numbers cannot hold depth in mm; expected 16 bits", field="inputs"
            )
        options = stated(DepthOptions)
        if options.no_data is not None:
            sequence = without_depth(sequence, options.no_data)
        if scale is None:
            scale = options.millimetres_per_number
        if scale is None:
            scale = concluded_scale(sequence, whole_are_mm=whole_are_mm)
        millimetres = to_millimetres(sequence, scale)
        note_unusual(millimetres, self.parameters.max_mm)
        return millimetres


def _unit_of(text: str) -> DepthUnit:
    """Return the unit that a TIFF's tags state; metres, and a note, if it is not a length."""
    try:
        return unit_named(text or "m", "inputs")
    except InvalidInputError:
        note(NoteCode.IGNORED, f"the TIFF's unit {text[:20]!r} is not known; metres were taken")
        return "m"


def _frames_first(values: Array) -> Array:
    """Return depths as (frames, height, width).

    Raises:
        InvalidInputError: They are of another form.
    """
    if values.ndim == _SEQUENCE_AXES and values.shape[2] == 1 and values.shape[0] > 1:
        values = values[..., 0]  # (height, width, channel)
    elif values.ndim > _SEQUENCE_AXES and 1 in (channels := (values.shape[-1], values.shape[1])):
        values = values[..., 0] if channels[0] == 1 else values[:, 0]
    if values.ndim not in (_PICTURE_AXES, _SEQUENCE_AXES):
        raise InvalidInputError(
            f"expected depth (height, width) or (frames, height, width), got {values.shape}",
            field="inputs",
        )
    if values.ndim == _PICTURE_AXES:
        return values[None]
    if values.shape[2] < _FEWEST_PIXELS <= min(values.shape[:2]):
        note(
            NoteCode.GUESSED,
            f"depths of shape {values.shape} were taken as (height, width, frames); send "
            "(frames, height, width)",
        )
        return np.moveaxis(values, 2, 0)
    return values


def _depth_array(arrays: Mapping[str, NpzArray]) -> str:
    """Return the name of the depths among the arrays of an NPZ file."""
    fitting = [a for a in arrays.values() if a.is_numeric and len(a.shape) in (2, 3, 4)]
    named = [a for a in fitting if "depth" in a.name.lower()]
    chosen = named if len(named) == 1 else fitting
    if len(chosen) != 1:
        found = ", ".join(f"{a.name} {a.shape}" for a in list(arrays.values())[:8]) or "nothing"
        raise InvalidInputError(
            f"expected an NPZ file (np.savez) with one array of depths, it has {found}",
            field="inputs",
        )
    return chosen[0].name


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
