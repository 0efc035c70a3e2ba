"""A radiograph is the same however its values are stored, scaled, windowed, coded and wrapped."""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate

from omnivec2.preprocess.formats.pictures.raster import upright_array
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.preprocess.xray import XrayParameters, XrayPreprocessor

PREPROCESSOR = XrayPreprocessor(XrayParameters(height=48, width=56))
SEEDS = range(30)
BITS, WHITE = 12, 4095
STORED = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}

Rng = np.random.Generator


def drawn(seed: int) -> tuple[np.ndarray, Rng]:
    """A picture of 12 bits that uses its whole range, and the source of further choices."""
    rng = np.random.default_rng(seed)
    height, width = (2 * int(side) for side in rng.integers(25, 50, 2))
    rows, columns = np.mgrid[:height, :width]
    scene = rng.normal(0, 0.02, (height, width))
    for _ in range(5):
        y, x, size = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(60, 900)
        scene += rng.uniform(0.2, 1) * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / size)
    scene = (scene - scene.min()) / np.ptp(scene)
    return np.rint(scene * WHITE).astype(np.int32), rng


def prepared(data: bytes, media_type: str | None = None) -> np.ndarray:
    native = PREPROCESSOR.decode(data, media_type)
    return PREPROCESSOR.prepare(native).samples[0]["pixels"].astype(int)


def expected(values: np.ndarray) -> np.ndarray:
    return PREPROCESSOR.prepare(values.astype(np.uint16)).samples[0]["pixels"].astype(int)


def dataset(stored: np.ndarray, syntax: str, *, is_signed: bool) -> FileDataset:
    """A data set of 12 bits without pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.UID(syntax)
    meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid.UID("1.2.3")
    made = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    made.Modality = "DX"
    made.Rows, made.Columns = stored.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, BITS, BITS - 1
    made.PixelRepresentation = int(is_signed)
    return made


CODERS: dict[str, Any] = {
    uid.JPEGLSLossless: imagecodecs.jpegls_encode,
    uid.JPEGLosslessSV1: lambda values: imagecodecs.jpeg8_encode(
        values, lossless=True, predictor=1, bitspersample=BITS
    ),
    uid.JPEG2000Lossless: lambda values: imagecodecs.jpeg2k_encode(
        values, codecformat="J2K", level=0, reversible=True
    ),
}
PLAIN = [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian]


def set_pixels(made: FileDataset, stored: np.ndarray) -> None:
    """Put the pixels in as the transfer syntax wants them."""
    syntax = made.file_meta.TransferSyntaxUID
    if syntax not in CODERS:
        made.PixelData = stored.astype("<u2").tobytes()
        made["PixelData"].VR = "OW"
        return
    # Without their sign, as codecs of unsigned numbers have them.
    made.PixelData = encapsulate([CODERS[syntax]((stored & WHITE).astype(np.uint16))])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True


def saved(made: FileDataset) -> bytes:
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


def as_dicom(values: np.ndarray, rng: Rng) -> bytes:
    """Any polarity, sign, slope, window or table, justification, coding and header."""
    is_signed, is_left = bool(rng.integers(2)), bool(rng.integers(4) == 0)
    syntax = str(rng.choice(PLAIN if is_left else [*PLAIN, *CODERS]))
    slope = float(rng.choice([1, 0.25, -1, -2]))
    is_inverse = bool(rng.integers(2))
    shown = WHITE - values if is_inverse else values
    stored = shown if slope > 0 else WHITE - shown
    stored = stored - 2048 if is_signed else stored
    made = dataset(stored, syntax, is_signed=is_signed)
    made.PhotometricInterpretation = "MONOCHROME1" if is_inverse else "MONOCHROME2"
    if slope != 1 or rng.integers(2):
        made.RescaleSlope, made.RescaleIntercept = str(slope), "-100"
    else:
        slope = 0
    values_out = stored * slope - 100 if slope else stored
    _add_range(made, values_out, rng)
    if is_left:
        made.HighBit = 15
        stored = stored << 4
    set_pixels(made, stored)
    data = saved(made)
    return data[132:] if rng.integers(4) == 0 else data


def _add_range(made: FileDataset, values: np.ndarray, rng: Rng) -> None:
    """State the whole range as a window, as a table, or not at all."""
    low, high = float(values.min()), float(values.max())
    choice = rng.integers(4)
    if choice == 0:
        made.WindowCenter, made.WindowWidth = str((low + high + 1) / 2), str(high - low + 1)
        made.VOILUTFunction = "LINEAR"
    elif choice == 1:
        made.WindowCenter, made.WindowWidth = str((low + high) / 2), str(high - low)
        made.VOILUTFunction = "LINEAR_EXACT"
    elif choice == 2 and low >= 0:
        table = Dataset()
        table.LUTDescriptor = [int(high - low) + 1, int(low), 16]
        table.LUTData = (np.arange(int(high - low) + 1) * 4).astype("<u2").tobytes()
        table["LUTData"].VR = "OW"
        made.VOILUTSequence = [table]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_dicom_is_shown_the_same_however_it_is_stored(seed):
    values, rng = drawn(seed)
    wanted = expected(values)
    for _ in range(6):
        assert np.abs(prepared(as_dicom(values, rng)) - wanted).mean() <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_picture_file_is_the_same_in_any_depth_and_orientation(seed):
    values, rng = drawn(seed)
    wanted = expected(values)
    orientation = int(rng.integers(1, 9))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright_array(values, STORED[orientation])
    for array in (stored.astype(np.uint16), stored.astype(np.uint16) * 16):
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG", exif=exif)
        assert np.abs(prepared(file.getvalue()) - wanted).mean() <= 1
    opaque = np.full(values.shape, 65_535)
    for channels in ([values, opaque], [values] * 3, [*[values] * 3, opaque]):
        data = imagecodecs.png_encode(np.dstack(channels).astype(np.uint16))
        assert np.abs(prepared(data) - wanted).mean() <= 1
    file = io.BytesIO()
    Image.fromarray((stored // 16).astype(np.uint8)).save(file, "JPEG", quality=97, exif=exif)
    assert np.abs(prepared(file.getvalue()) - wanted).mean() < 3
    deep = imagecodecs.jpeg8_encode(values.astype(np.uint16), lossless=True, bitspersample=BITS)
    assert np.abs(prepared(deep) - wanted).mean() <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_what_changes_the_picture_changes_the_pixels(seed):
    values, rng = drawn(seed)
    wanted = expected(values)
    syntax = str(rng.choice([*PLAIN, *CODERS]))
    for change in (
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"RescaleSlope": "-1", "RescaleIntercept": "0"},
        {"WindowCenter": "1000", "WindowWidth": "1500"},
    ):
        made = dataset(values, syntax, is_signed=False)
        for name, value in change.items():
            setattr(made, name, value)
        set_pixels(made, values)
        assert np.abs(prepared(saved(made)) - wanted).mean() > 5


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_odd_or_not_followed_is_noted(seed):
    values, rng = drawn(seed)
    wanted = expected(values)
    changes: list[tuple[NoteCode, dict[str, Any]]] = [
        (NoteCode.REPAIRED, {"WindowCenter": "0", "WindowWidth": "0"}),
        (NoteCode.GUESSED, {"WindowCenter": "-3000", "WindowWidth": "256"}),
        (NoteCode.REPAIRED, {"HighBit": 3}),
        (NoteCode.GUESSED, {"PhotometricInterpretation": ""}),
        (NoteCode.UNUSUAL, {"PresentationIntentType": "FOR PROCESSING"}),
        (NoteCode.UNUSUAL, {"BurnedInAnnotation": "YES"}),
        (NoteCode.UNUSUAL, {"Modality": "CT"}),
        (NoteCode.UNUSUAL, {"PresentationLUTShape": "INVERSE"}),
    ]
    for _ in range(3):
        code, change = changes[rng.integers(len(changes))]
        made = dataset(values, uid.ExplicitVRLittleEndian, is_signed=False)
        for name, value in change.items():
            setattr(made, name, value)
        set_pixels(made, values)
        with collect_notes() as notes:
            found = prepared(saved(made))
        assert np.abs(found - wanted).mean() <= 1
        assert code in {note.code for note in notes}
    with collect_notes() as notes:
        prepared(imagecodecs.png_encode(np.full((20, 20), int(rng.integers(4096)), np.uint16)))
    assert NoteCode.EMPTY in {note.code for note in notes}
