"""Radiographs as X-ray devices, archives and exports leave them."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate

from tests.cases.case import (
    AnyOf,
    Case,
    Factory,
    Noted,
    OtherThan,
    Refused,
    SameAs,
    Sent,
    in_base64,
)

ROUTE = "xray?tasks=pneumonia,embedding"
WHITE = 4095


@cache
def chest() -> np.ndarray:
    """Two dark lungs between ribs and spine, in 12 bits, (90, 84)."""
    rows, columns = np.mgrid[:90, :84]
    scene = 2300.0 + 500 * np.cos((columns - 42) / 20)
    for middle in (24, 60):
        lung = np.exp(-((((columns - middle) / 13) ** 2 + ((rows - 46) / 30) ** 2) ** 2))
        scene -= 1900 * lung * (1 - 0.25 * (rows % 11 < 3))
    scene += 900 * (abs(columns - 42) < 5)
    scene = (scene - scene.min()) / np.ptp(scene)
    return np.rint(scene * WHITE).astype(np.int32)


def dicom(
    stored: np.ndarray | None = None,
    syntax: str = uid.ExplicitVRLittleEndian,
    encode: Callable[[np.ndarray], bytes] | None = None,
    **elements: Any,
) -> bytes:
    """Save values as they are stored, with further elements of the data set."""
    stored = chest() if stored is None else stored
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.UID(syntax)
    meta.MediaStorageSOPClassUID = uid.ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = uid.UID("1.2.826.7")
    made = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.826.7"
    made.Modality, made.Rows, made.Columns = "CR", *stored.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelRepresentation = 0
    for name, value in elements.items():
        setattr(made, name, value)
    if encode is None:
        made.PixelData = stored.astype("<u2").tobytes()
        made["PixelData"].VR = "OW"
    else:
        made.PixelData = encapsulate([encode((stored & WHITE).astype(np.uint16))])
        made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def plain() -> bytes:
    """A PNG of 16 bits, whose range is stretched as a viewer does."""
    file = io.BytesIO()
    Image.fromarray(chest().astype(np.uint16)).save(file, "PNG")
    return file.getvalue()


def with_channels(*channels: np.ndarray) -> bytes:
    return bytes(imagecodecs.png_encode(np.dstack(channels).astype(np.uint16)))


def without_header() -> bytes:
    """A bare data set as it comes over the network, without preamble and meta group."""
    data = dicom(syntax=uid.ImplicitVRLittleEndian)
    length = int.from_bytes(data[140:144], "little")
    return data[144 + length :]


def same(name: str, made: Factory, tolerance: float = 0.01, *, is_declared: bool = True) -> Case:
    declared = "application/dicom" if is_declared else None

    def typed() -> Sent:
        data = made()
        return data if isinstance(data, Sent) else Sent(data, declared)

    return Case(f"xray: {name}", ROUTE, typed, SameAs(plain, tolerance))


_SIGNED = {"PixelRepresentation": 1}
_INVERSE = {"RescaleSlope": "-1", "RescaleIntercept": "4095"}

CASES = [
    same(
        "an inverse radiograph",
        lambda: dicom(WHITE - chest(), PhotometricInterpretation="MONOCHROME1"),
    ),
    same(
        "a negative slope beside a window",
        lambda: dicom(
            WHITE - chest(), WindowCenter="2048", WindowWidth="4096", **_INVERSE
        ),
    ),
    same(
        "a slope of -0.5 and values below zero",
        lambda: dicom(WHITE - chest(), RescaleSlope="-0.5", RescaleIntercept="-100"),
    ),
    same(
        "signed values in JPEG-LS",
        lambda: dicom(
            chest() - 2048, uid.JPEGLSLossless, imagecodecs.jpegls_encode, **_SIGNED
        ),
    ),
    same(
        "lossless JPEG 2000",
        lambda: dicom(
            None,
            uid.JPEG2000Lossless,
            partial(imagecodecs.jpeg2k_encode, codecformat="J2K", level=0, reversible=True),
        ),
    ),
    same(
        "values at the left of their bits",
        lambda: dicom(chest() << 4, HighBit=15),
    ),
    same("an empty slope and intercept", lambda: dicom(RescaleSlope="", RescaleIntercept="")),
    same("a window of width 0", lambda: dicom(WindowCenter="0", WindowWidth="0")),
    same("a window of width 0 with a centre", lambda: dicom(WindowCenter="1800", WindowWidth="0")),
    same("a meta group without its preamble", lambda: dicom()[132:]),
    same("a bare data set", without_header),
    same(
        "grey and alpha in a PNG of 16 bits",
        lambda: with_channels(chest() * 16, np.full(chest().shape, 65_535)),
        is_declared=False,
    ),
    same("three channels in a PNG of 16 bits", lambda: with_channels(*[chest()] * 3),
         is_declared=False),
    same("base64 with carriage returns", lambda: in_base64(plain(), 72, "\r\n"), is_declared=False),
    Case(
        "xray: a window far beside the values",
        ROUTE,
        lambda: dicom(WindowCenter="-4000", WindowWidth="200"),
        AnyOf([SameAs(plain), Noted("window"), Refused("window")]),
    ),
    Case(
        "xray: a function for its window that nobody knows",
        ROUTE,
        lambda: dicom(WindowCenter="2048", WindowWidth="4096", VOILUTFunction="CUBIC"),
        AnyOf([SameAs(plain), Refused("VOI|function")]),
    ),
    Case(
        "xray: an export that failed",
        "xray/pneumonia",
        lambda: dicom(np.zeros((64, 64), np.int32)),
        AnyOf([Noted("empty"), Refused("even|uniform|same value")]),
    ),
    Case("xray: a negative is another picture", ROUTE, lambda: dicom(WHITE - chest()),
         OtherThan(plain)),
]  # fmt: skip
