"""Radiographs for tests: DICOM files made of their elements, and what reads them."""

from __future__ import annotations

import io
import struct

import numpy as np
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate

from omnivec2.preprocess.xray import XrayParameters, XrayPreprocessor
from omnivec2.spec import Limits

RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 100


def xray(limits: Limits | None = None, **parameters) -> XrayPreprocessor:
    return XrayPreprocessor(XrayParameters(**parameters), limits)


def dataset(
    pixels: np.ndarray, syntax: str = uid.ExplicitVRLittleEndian, **elements
) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.UID(syntax)
    meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid.UID("1.2.3")
    made = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    made.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OW"
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def saved(made: FileDataset) -> bytes:
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def shown(pixels: np.ndarray, syntax: str = uid.ExplicitVRLittleEndian, **elements) -> np.ndarray:
    return xray().decode(saved(dataset(pixels, syntax, **elements)))


def raw_dicom(extra: bytes, syntax: bytes = b"1.2.840.10008.1.2.1\0") -> bytes:
    """A hand-made file of one raw stretch after the meta information."""
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax)) + syntax
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta))
    return bytes(128) + b"DICM" + length + meta + extra


def compressed(stream: bytes, syntax: str, shape: tuple[int, int], **elements) -> bytes:
    """A file of 12 bits in 16, with one compressed frame."""
    made = dataset(np.zeros(shape, np.uint16), syntax, BitsStored=12, HighBit=11, **elements)
    made.PixelData = encapsulate([stream])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    return saved(made)
