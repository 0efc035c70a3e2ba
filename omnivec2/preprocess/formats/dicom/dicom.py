"""DICOM -> a grey picture as a viewer would show it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.utils import pixel_array

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.dicom.dicom_codecs import PLUGIN, SYNTAXES
from omnivec2.preprocess.formats.dicom.dicom_display import displayed, number
from omnivec2.preprocess.formats.dicom.dicom_file import MeteredBytes, parse
from omnivec2.preprocess.formats.guards.decoding_guard import check_pixels, undecodable
from omnivec2.preprocess.formats.pictures.codestream import (
    check_scans,
    declared_bits,
    declared_size,
    jpeg_frame,
)
from omnivec2.preprocess.formats.pictures.raster import stretch_to_uint8
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_RADIOGRAPHS = frozenset({"", "CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA", "OT", "SC"})

# One decoder per compressed syntax, so that an answer does not depend on what is installed.
_DECODERS: dict[str, str] = dict.fromkeys(SYNTAXES, PLUGIN) | {
    uid.JPEGBaseline8Bit: "pillow",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.HTJ2KLossless: "pylibjpeg",
    uid.HTJ2KLosslessRPCL: "pylibjpeg",
    uid.HTJ2K: "pylibjpeg",
}
# JPEG's second byte of the frame marker -> the syntax of such a stream.
_JPEG_SYNTAXES = {
    0xC0: uid.JPEGBaseline8Bit,
    0xC1: uid.JPEGBaseline8Bit,
    0xC2: uid.JPEGBaseline8Bit,
    0xC3: uid.JPEGLosslessSV1,
    0xF7: uid.JPEGLSLossless,
}
_JPEG_FAMILIES = (
    {uid.JPEGLosslessSV1, uid.JPEGLossless},
    {uid.JPEGLSLossless, uid.JPEGLSNearLossless},
)


def read_dicom(data: bytes, limits: Limits) -> npt.NDArray[np.uint8]:
    """Read the first frame as displayed: (height, width), scaled by its own range, padding black.

    Raises:
        UndecodableError: the file is damaged or truncated.
        TooLargeError: rows x columns are over ``limits.pixels``; checked before pixels are read.
        InvalidInputError: there is no pixel data, or it is not an X-ray picture.
    """
    with undecodable("DICOM", BytesLengthException, InvalidDicomError):
        dataset = parse(data, limits)
        _check(dataset, limits)
        _note_contents(dataset)
        stored = _stored_values(dataset)
        if dataset.PhotometricInterpretation not in _MONOCHROME:
            return stretch_to_uint8(stored)
        return displayed(stored, dataset)


def _check(dataset: Dataset, limits: Limits) -> None:
    """Compare what the header declares with the limits and with the compressed stream."""
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    check_pixels(columns, rows, limits, "DICOM")
    samples = int(number(dataset, "SamplesPerPixel") or 1)
    if not dataset.get("PhotometricInterpretation") and samples == 1:
        dataset.PhotometricInterpretation = "MONOCHROME2"
        note(
            NoteCode.GUESSED,
            "the DICOM does not say whether its low values are dark (PhotometricInterpretation); "
            "MONOCHROME2 was taken: they are",
            field="PhotometricInterpretation",
        )
    kind = str(dataset.get("PhotometricInterpretation")).strip().upper()
    dataset.PhotometricInterpretation = kind
    if (kind, samples) not in {(k, 1) for k in _MONOCHROME} | {(k, 3) for k in _COLOURS}:
        raise InvalidInputError(
            f"expected a grey or RGB DICOM picture, got {kind} with {samples} samples per pixel",
            field="inputs",
            known=(*_MONOCHROME, "RGB"),
        )
    dataset.SamplesPerPixel = samples
    if dataset.get("BitsAllocated") not in (8, 16):
        raise InvalidInputError(
            f"expected 8 or 16 bits per sample, got {dataset.get('BitsAllocated')}",
            field="inputs",
        )
    if _syntax(dataset).is_compressed and not _syntax(dataset).is_deflated:
        _check_frame(dataset, (columns, rows, samples))
    _check_bits(dataset)


def _check_frame(dataset: Dataset, declared: tuple[int, int, int]) -> None:
    """Compare the compressed stream of the first frame with the header, and mend the header."""
    frame = get_frame(MeteredBytes(dataset.PixelData), 0, number_of_frames=_frames(dataset))
    inside = declared_size(frame)
    if inside is not None and inside != declared:
        raise UndecodableError(
            f"the compressed pixels are {inside[0]} x {inside[1]} x {inside[2]}, "
            f"the DICOM header declares {declared[0]} x {declared[1]} x {declared[2]}",
            field="inputs",
        )
    check_scans(frame, declared[0] * declared[1])
    if inside is None:
        if _syntax(dataset) == uid.RLELossless:
            return
        raise UndecodableError("the compressed pixels have no readable header", field="inputs")
    _correct_syntax(dataset, frame)
    bits = declared_bits(frame)
    allocated = 8 if bits <= 8 else 16
    if allocated != dataset.BitsAllocated:
        note(
            NoteCode.REPAIRED,
            f"the compressed pixels have {bits} bits, the DICOM header declares "
            f"{dataset.get('BitsStored')} of {dataset.BitsAllocated}; the pixels' own were taken",
            field="BitsAllocated",
        )
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1


def _correct_syntax(dataset: Dataset, frame: bytes) -> None:
    """Replace a transfer syntax of another coding than the stream has."""
    jpeg = jpeg_frame(frame)
    known = uid.JPEG2000 if jpeg is None else _JPEG_SYNTAXES.get(jpeg.marker)
    if jpeg is not None and known == uid.JPEGBaseline8Bit and jpeg.bits > 8:
        known = uid.JPEGExtended12Bit
    syntax = _syntax(dataset)
    is_jpeg2000 = syntax not in SYNTAXES and syntax != uid.JPEGBaseline8Bit
    if known is None or (jpeg is None and is_jpeg2000):
        return
    if any({known, syntax} <= family for family in _JPEG_FAMILIES) or known == syntax:
        return
    if syntax == uid.JPEGExtended12Bit and known == uid.JPEGBaseline8Bit:  # which it includes
        return
    note(
        NoteCode.REPAIRED,
        f"the DICOM declares {syntax.name}, but its pixels are {known.name}",
        field="TransferSyntaxUID",
    )
    dataset.file_meta.TransferSyntaxUID = known


def _check_bits(dataset: Dataset) -> None:
    """Fill in or refuse impossible numbers of bits."""
    allocated = int(dataset.BitsAllocated)
    stored, highest = number(dataset, "BitsStored"), number(dataset, "HighBit")
    if stored is None or not 1 <= stored <= allocated:
        note(
            NoteCode.REPAIRED,
            f"BitsStored of the DICOM is {dataset.get('BitsStored')}; {allocated} was taken",
            field="BitsStored",
        )
        stored = allocated
    if highest is None or not stored <= highest + 1 <= allocated:
        note(
            NoteCode.REPAIRED,
            f"HighBit of the DICOM is {dataset.get('HighBit')}; {int(stored) - 1} was taken",
            field="HighBit",
        )
        highest = stored - 1
    dataset.BitsStored, dataset.HighBit = int(stored), int(highest)
    dataset.PixelRepresentation = int(number(dataset, "PixelRepresentation") or 0)


def _note_contents(dataset: Dataset) -> None:
    """Say what is odd about the picture, though it can be read."""
    if _frames(dataset) > 1:
        note(NoteCode.IGNORED, "the DICOM has several frames; only the first was read")
    modality = str(dataset.get("Modality") or "").strip()
    if modality not in _RADIOGRAPHS:
        note(
            NoteCode.UNUSUAL,
            f"the DICOM is of modality {modality[:16]}, which is no radiograph",
            field="Modality",
        )
    if str(dataset.get("PresentationIntentType") or "").strip() == "FOR PROCESSING":
        note(
            NoteCode.UNUSUAL,
            "the DICOM holds raw detector values (FOR PROCESSING), not a picture for people",
            field="PresentationIntentType",
        )
    if str(dataset.get("BurnedInAnnotation") or "").strip() == "YES":
        note(NoteCode.UNUSUAL, "text is burnt into the picture", field="BurnedInAnnotation")
    shape = str(dataset.get("PresentationLUTShape") or "").strip()
    expected = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}
    wanted = expected.get(dataset.PhotometricInterpretation, shape)
    if shape in expected.values() and shape != wanted:
        note(
            NoteCode.UNUSUAL,
            f"PresentationLUTShape {shape} contradicts {dataset.PhotometricInterpretation}, "
            "which was followed",
            field="PresentationLUTShape",
        )


def _frames(dataset: Dataset) -> int:
    return max(1, int(number(dataset, "NumberOfFrames") or 1))


def _syntax(dataset: Dataset) -> uid.UID:
    syntax: uid.UID = dataset.file_meta.TransferSyntaxUID
    return syntax


def _stored_values(dataset: Dataset) -> Array:
    """Decode the stored values of the first frame, (height, width)."""
    bits, highest = dataset.BitsStored, dataset.HighBit
    # The library cuts values to the lowest stored bits; here those up to the highest one are due.
    dataset.BitsStored = highest + 1
    values: Array = pixel_array(
        dataset, index=0, decoding_plugin=_DECODERS.get(_syntax(dataset), "")
    )
    dataset.BitsStored = bits
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.ndim == 3:
        grey: Array = np.rint(values.astype(np.float32) @ _LUMA).astype(values.dtype)
        return grey
    if dataset.PixelRepresentation:
        values = _sign_extended(values, highest + 1)
    return _right_justified(values, highest + 1 - bits)


def _sign_extended(values: Array, bits: int) -> Array:
    """Give values of fewer bits than their type their sign, which some codecs leave out."""
    signed: Array = values.view(f"i{values.dtype.itemsize}")
    shift = 8 * values.dtype.itemsize - bits
    return (signed << shift) >> shift if shift else signed


def _right_justified(values: Array, empty_bits: int) -> Array:
    """Shift values that fill the upper bits, if the lower ones are really empty."""
    if empty_bits == 0:
        return values
    if not (values & ((1 << empty_bits) - 1)).any():
        return values >> empty_bits
    note(
        NoteCode.GUESSED,
        "HighBit of the DICOM says that values are in the upper bits, but the lower ones are used; "
        "they were taken as they are",
        field="HighBit",
    )
    return values
