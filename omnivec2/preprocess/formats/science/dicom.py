"""DICOM -> a grey picture as a viewer would show it.

Stored values go through the modality lookup table or rescaling, then through the file's first
value-of-interest window or table, and MONOCHROME1 is inverted (DICOM PS3.3 C.11, C.7.6.3).
These maps depend on nothing but a pixel's value, so they are applied to the range of values
rather than to the picture.
"""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array
from pydicom.tag import BaseTag

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import check_pixels, undecodable
from omnivec2.preprocess.formats.pictures.codestream import check_scans, declared_size
from omnivec2.preprocess.formats.pictures.raster import stretch_to_uint8
from omnivec2.preprocess.formats.science.dicom_codecs import PLUGIN, SYNTAXES
from omnivec2.spec import Limits

MAX_READS = 100_000
"""The largest number of reads of a file: two or three per element, of which a radiograph has
hundreds."""

_PREAMBLE = 128
_PIXEL_DATA = 0x7FE00010
_META_GROUP = 0x0002
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601

# One decoder per compressed syntax, so that an answer does not depend on what is installed.
_DECODERS: dict[str, str] = dict.fromkeys(SYNTAXES, PLUGIN) | {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
}


def read_dicom(data: bytes, limits: Limits) -> npt.NDArray[np.uint8]:
    """Read the first frame as displayed: (height, width), scaled by its own range, padding black.

    Raises:
        UndecodableError: the file is damaged or truncated.
        TooLargeError: rows x columns are over ``limits.pixels``; checked before pixels are read.
        InvalidInputError: there is no pixel data, or it is not an X-ray picture.
    """
    with undecodable("DICOM", BytesLengthException, InvalidDicomError):
        dataset = _parse(data, limits)
        _check(dataset, limits)
        return _displayed(_stored_values(dataset), dataset)


class _MeteredBytes(io.BytesIO):
    """Bytes with a limited number of reads.

    The parser needs a few reads per element, also for the millions of empty elements or
    fragments that fit into a small file.
    """

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read like any file, and count."""
        self.reads += 1
        if self.reads > MAX_READS:
            raise TooLargeError("the DICOM has too many elements", field="inputs")
        return super().read(size)


def _parse(data: bytes, limits: Limits) -> Dataset:
    """Parse all elements; values stay raw until they are accessed."""
    stream = _MeteredBytes(data)
    stream.seek(_PREAMBLE + 4)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag.group != _META_GROUP)
    syntax = uid.UID(meta.get("TransferSyntaxUID", uid.ImplicitVRLittleEndian))
    if syntax.is_deflated:
        stream = _MeteredBytes(_inflate(data[stream.tell() :], limits))
    seen = False

    def note(tag: BaseTag, *_: object) -> bool:
        nonlocal seen
        seen = seen or tag == _PIXEL_DATA
        return False

    dataset = read_dataset(stream, syntax.is_implicit_VR, syntax.is_little_endian, stop_when=note)
    dataset.file_meta = FileMetaDataset(meta)
    dataset.file_meta.TransferSyntaxUID = syntax
    if "PixelData" in dataset:
        return dataset
    if seen:
        raise UndecodableError("the DICOM is truncated inside its pixels", field="inputs")
    raise InvalidInputError("the DICOM holds no pixel data", field="inputs")


def _inflate(data: bytes, limits: Limits) -> bytes:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflate.decompress(data, limits.decoded_bytes)
    if inflate.unconsumed_tail:
        raise TooLargeError(
            f"the DICOM inflates to more than {limits.decoded_bytes:,} bytes (decoded_bytes)",
            field="inputs",
        )
    return inflated


def _check(dataset: Dataset, limits: Limits) -> None:
    """Compare what the header declares with the limits and with the compressed stream."""
    rows, columns = int(dataset.get("Rows", 0)), int(dataset.get("Columns", 0))
    check_pixels(columns, rows, limits, "DICOM")
    kind = dataset.get("PhotometricInterpretation")
    samples = int(dataset.get("SamplesPerPixel", 1))
    if (kind, samples) not in {(k, 1) for k in _MONOCHROME} | {(k, 3) for k in _COLOURS}:
        raise InvalidInputError(
            f"expected a grey or RGB DICOM picture, got {kind} with {samples} samples per pixel",
            field="inputs",
            known=(*_MONOCHROME, "RGB"),
        )
    if dataset.get("BitsAllocated") not in (8, 16):
        raise InvalidInputError(
            f"expected 8 or 16 bits per sample, got {dataset.get('BitsAllocated')}",
            field="inputs",
        )
    if not _syntax(dataset).is_compressed or _syntax(dataset).is_deflated:
        return
    frame = get_frame(_MeteredBytes(dataset.PixelData), 0, number_of_frames=_frames(dataset))
    inside = declared_size(frame)
    if inside is not None and inside != (columns, rows, samples):
        raise UndecodableError(
            f"the compressed pixels are {inside[0]} x {inside[1]} x {inside[2]}, "
            f"the DICOM header declares {columns} x {rows} x {samples}",
            field="inputs",
        )
    check_scans(frame, columns * rows)
    if inside is None and _syntax(dataset) != uid.RLELossless:
        raise UndecodableError("the compressed pixels have no readable header", field="inputs")


def _frames(dataset: Dataset) -> int:
    return max(1, int(dataset.get("NumberOfFrames") or 1))


def _syntax(dataset: Dataset) -> uid.UID:
    syntax: uid.UID = dataset.file_meta.TransferSyntaxUID
    return syntax


def _stored_values(dataset: Dataset) -> Array:
    """Decode the stored values of the first frame, (height, width)."""
    values: Array = pixel_array(
        dataset, index=0, decoding_plugin=_DECODERS.get(_syntax(dataset), "")
    )
    if values.ndim == 3:
        values = np.rint(values.astype(np.float32) @ _LUMA).astype(values.dtype)
    return values


def _displayed(stored: Array, dataset: Dataset) -> npt.NDArray[np.uint8]:
    if dataset.PhotometricInterpretation not in _MONOCHROME:
        return stretch_to_uint8(stored)
    padding = _padding_mask(stored, dataset)
    visible = stored if padding is None else stored[~padding]
    if visible.size == 0:
        raise InvalidInputError("the DICOM holds nothing but padding", field="inputs")
    low, high = int(visible.min()), int(visible.max())
    values = apply_modality_lut(np.arange(low, high + 1, dtype=np.int32), dataset)
    if "VOILUTSequence" in dataset:
        values = np.rint(values).astype(np.int32)
    table = np.asarray(apply_voi_lut(values, dataset), dtype=np.float32)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        table = -table
    places = np.subtract(stored, low, dtype=np.int32)
    shown = stretch_to_uint8(table)[np.clip(places, 0, high - low, out=places)]
    if padding is not None:
        shown[padding] = 0
    return shown


def _padding_mask(stored: Array, dataset: Dataset) -> npt.NDArray[np.bool_] | None:
    """Return a mask of the pixels outside the picture (PS3.3 C.7.5.1.1.2), or None."""
    padding: Any = dataset.get("PixelPaddingValue")
    if padding is None:
        return None
    low, high = sorted((int(padding), int(dataset.get("PixelPaddingRangeLimit", padding))))
    outside: npt.NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return outside
