"""DICOM files that are not as they say: read as they were meant, with a note."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid

from omnivec2.preprocess.notes import NoteCode, collect_notes
from tests.support.sample_files.radiographs import compressed, dataset, saved, xray

LARGE_RAMP = np.arange(0, 4096, 4, dtype=np.uint16).reshape(32, 32)
EXPECTED = np.rint(LARGE_RAMP * 255.0 / LARGE_RAMP.max())


def assert_read(data: bytes, *codes: NoteCode, tolerance: int = 1) -> None:
    with collect_notes() as notes:
        found = xray().decode(data)
    assert np.abs(found - EXPECTED).max() <= tolerance
    assert [note.code for note in notes] == list(codes)


@pytest.mark.parametrize(
    "declared",
    [uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLosslessSV1, uid.JPEG2000Lossless],
)
def test_pixels_of_another_coding_than_declared_are_read_with_a_note(declared):
    stream = imagecodecs.jpegls_encode(LARGE_RAMP)
    assert_read(compressed(stream, declared, (32, 32)), NoteCode.REPAIRED)
    assert_read(compressed(stream, uid.JPEGLSLossless, (32, 32)))
    lossless = imagecodecs.jpeg8_encode(LARGE_RAMP, lossless=True, bitspersample=12)
    assert_read(compressed(lossless, uid.JPEGLSLossless, (32, 32)), NoteCode.REPAIRED)


def test_8_bit_pixels_in_a_file_of_16_are_read_with_a_note():
    stream = imagecodecs.jpeg8_encode((LARGE_RAMP // 16).astype(np.uint8), level=98)
    data = compressed(stream, uid.JPEGBaseline8Bit, (32, 32))
    assert_read(data, NoteCode.REPAIRED, tolerance=8)


@pytest.mark.parametrize("is_signed", [False, True])
def test_values_in_the_upper_bits_are_shifted(is_signed):
    values = LARGE_RAMP.astype(np.int32) - 2048 * is_signed
    kind = np.int16 if is_signed else np.uint16
    made = dataset((values << 4).astype(kind), BitsStored=12, HighBit=15)
    assert_read(saved(made))
    made = dataset(values.astype(kind), BitsStored=12, HighBit=15)
    assert_read(saved(made), NoteCode.GUESSED)


def test_signed_values_without_their_sign_get_it():
    values = (LARGE_RAMP.astype(np.int32) - 2048) & 0xFFF
    made = dataset(values.astype(np.uint16), BitsStored=12, HighBit=11, PixelRepresentation=1)
    assert_read(saved(made))
    stream = imagecodecs.jpegls_encode(values.astype(np.uint16))
    assert_read(compressed(stream, uid.JPEGLSLossless, (32, 32), PixelRepresentation=1))


def test_impossible_numbers_of_bits_are_noted():
    for elements in ({"HighBit": 0}, {"BitsStored": 16, "HighBit": 99}):
        made = dataset(LARGE_RAMP, **{"BitsStored": 12, **elements})
        assert_read(saved(made), NoteCode.REPAIRED)


@pytest.mark.parametrize("start", [132, 128], ids=["neither preamble nor prefix", "no preamble"])
def test_a_file_without_its_preamble_is_read_with_a_note(start):
    assert_read(saved(dataset(LARGE_RAMP))[start:], NoteCode.REPAIRED)


def test_a_bare_data_set_is_read_with_a_note():
    made = dataset(LARGE_RAMP, uid.ImplicitVRLittleEndian)
    file = pydicom.filebase.DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = True, True
    pydicom.filewriter.write_dataset(file, pydicom.Dataset({e.tag: e for e in made}))
    assert_read(file.getvalue(), NoteCode.GUESSED)


def test_an_even_picture_is_answered_with_a_note():
    for native in (np.zeros((9, 9), np.uint8), np.full((9, 9), 3000, np.uint16)):
        with collect_notes() as notes:
            xray().prepare(native)
        assert [note.code for note in notes] == [NoteCode.EMPTY]
    with collect_notes() as notes:
        xray().prepare(LARGE_RAMP)
    assert not notes
