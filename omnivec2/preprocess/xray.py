"""X-ray pictures -> one channel; DICOM goes through its lookup tables and window first."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from PIL import Image

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.base import Array, Prepared
from omnivec2.preprocess.formats.dicom.dicom_start import is_dicom
from omnivec2.preprocess.formats.guards.decoding_guard import format_of
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.grey_pictures import read_grey_picture
from omnivec2.preprocess.formats.pictures.single_picture import (
    PictureParameters,
    PicturePreprocessor,
)
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits, Modality

DICOM = "application/dicom"
_EVEN_LEVELS = 2
"""An 8-bit picture whose levels differ by no more shows nothing."""


class XrayParameters(PictureParameters):
    """Frozen parameters of the X-ray preprocessor."""

    height: int = 96
    width: int = 96


class XrayPreprocessor(PicturePreprocessor[XrayParameters, Array]):
    """DICOM (first frame), PNG or JPEG -> grey pixels, air dark and bone bright."""

    modality = Modality.XRAY
    media_types: ClassVar[dict[str, str]] = {
        DICOM: "DICOM",
        "application/dcm": "DICOM",
        "application/x-dicom": "DICOM",
        "image/dicom": "DICOM",
        "image/png": "PNG",
        "image/x-png": "PNG",
        "image/jpeg": "JPEG",
        "image/jpg": "JPEG",
        "image/pjpeg": "JPEG",
    }
    parameters_type = XrayParameters
    default_limits = Limits(bytes=64 * 2**20, decoded_bytes=96 * 2**20, pixels=25_000_000)

    def sniff(self, data: bytes) -> str | None:
        """Detect the content type by magic bytes."""
        return DICOM if is_dicom(data) else raster.sniff(data)

    def decode(self, data: bytes, media_type: str | None = None) -> Array:
        """Decode to grey (height, width): 8 or 16 bits as stored, DICOM as a viewer shows it."""
        kind = format_of(data, self.sniff(data), media_type, self.media_types)
        if kind == "DICOM":
            # Not on loading: the libraries take 22 MiB, and many services get no DICOM file.
            from omnivec2.preprocess.formats.dicom.dicom import read_dicom

            return read_dicom(data, self.limits)
        return read_grey_picture(data, kind, self.limits)

    def prepare(self, native: Array) -> Prepared:
        """Scale by the picture's own range, so that its bit depth makes no difference, and resize.

        Args:
            native: An array of grey values (height, width) of any real type.
        """
        if native.ndim != 2 or native.size == 0:
            raise InvalidInputError(
                f"expected a grey picture (height, width), got shape {native.shape}",
                field="inputs",
            )
        _note_if_even(native)
        p = self.parameters
        picture = Image.fromarray(raster.stretch_to_uint8(native))
        pixels = np.asarray(raster.resize(picture, (p.width, p.height), "stretch"))
        size = (native.shape[1], native.shape[0])
        return Prepared([{"pixels": pixels[:, :, None]}], {"size": size})


def _note_if_even(native: Array) -> None:
    finite = native[np.isfinite(native)] if native.dtype.kind == "f" else native
    levels = float(finite.max()) - float(finite.min()) if finite.size else 0.0
    if levels <= (_EVEN_LEVELS if native.dtype == np.uint8 else 0):
        note(
            NoteCode.EMPTY,
            "the picture is one even grey: there is nothing to recognise in it; look at what "
            "exported it",
        )


PREPROCESSOR = XrayPreprocessor
