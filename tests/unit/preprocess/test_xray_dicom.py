"""DICOM files become the grey picture that a viewer shows, or are refused by their header."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate

from omnivec2.errors import (
    InvalidInputError,
    TooLargeError,
    UndecodableError,
)
from omnivec2.preprocess.formats.dicom import dicom_file as dicom
from omnivec2.spec import Limits
from tests.support.documents import ROOT
from tests.support.sample_files.radiographs import RAMP, dataset, raw_dicom, saved, shown, xray

DATA = ROOT / "tests" / "data" / "xray"


def test_stored_values_are_scaled_by_their_range_if_there_is_no_window():
    assert shown(RAMP).ravel().tolist() == [round(255 * i / 11) for i in range(12)]


def test_monochrome1_is_inverted():
    inverted = shown(RAMP, PhotometricInterpretation="MONOCHROME1")
    assert inverted.ravel().tolist() == [round(255 * i / 11) for i in reversed(range(12))]


def test_rescaling_and_window_are_applied():
    # Stored 0..1100 become -1000..100; the window shows -700..-300.
    found = shown(
        RAMP, RescaleSlope=1, RescaleIntercept=-1000, WindowCenter=-500, WindowWidth=400
    ).ravel()
    assert found[:4].tolist() == [0, 0, 0, 0]
    assert found[7:].tolist() == [255] * 5
    assert 100 < found[5] < 155


def test_only_the_first_of_several_windows_counts():
    one = shown(RAMP, WindowCenter=500, WindowWidth=400)
    several = shown(RAMP, WindowCenter=[500, 1], WindowWidth=[400, 1])
    assert np.array_equal(one, several)


def test_a_table_of_interest_is_applied():
    table = pydicom.Dataset()
    table.LUTDescriptor = [12, 0, 16]
    table.LUTData = np.arange(240, 0, -20).astype("<u2").tobytes()
    table["LUTData"].VR = "OW"
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = shown(pixels, VOILUTSequence=[table])
    assert found.ravel().tolist() == [round(255 * i / 11) for i in reversed(range(12))]


def test_padding_is_black_and_does_not_count_as_a_value():
    padded = RAMP.astype(np.int16)
    padded[0, 0] = -2000
    found = shown(padded, PixelPaddingValue=-2000).ravel()
    assert found[0] == 0
    assert found[1:].tolist() == [round(255 * i / 10) for i in range(11)]


def test_implicit_and_big_endian_and_deflated_files_are_read():
    expected = shown(RAMP)
    for syntax in (uid.ImplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian):
        assert np.array_equal(shown(RAMP, syntax), expected)
    big = xray().decode(Path(get_testdata_file("MR_small_bigendian.dcm")).read_bytes())
    little = xray().decode(Path(get_testdata_file("MR_small.dcm")).read_bytes())
    assert np.array_equal(big, little)


@pytest.mark.parametrize(
    "name",
    ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"],
)
def test_lossless_compression_changes_nothing(name):
    compressed = xray().decode(Path(get_testdata_file(name)).read_bytes())
    plain = xray().decode(Path(get_testdata_file("MR_small.dcm")).read_bytes())
    assert np.array_equal(compressed, plain)


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLossless])
def test_lossless_jpeg_changes_nothing(syntax):
    stream = imagecodecs.jpeg8_encode(RAMP, lossless=True, predictor=1, bitspersample=16)
    made = dataset(RAMP, syntax)
    made.PixelData = encapsulate([stream])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    assert np.array_equal(xray().decode(saved(made)), shown(RAMP))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("JPGExtended.dcm", (1024, 256)),
        ("JPEG2000.dcm", (1024, 256)),
        ("JPEGLSNearLossless_16.dcm", (50, 10)),
        ("SC_rgb_jpeg_dcmtk.dcm", (100, 100)),
        ("SC_rgb_jpeg_gdcm.dcm", (100, 100)),
        ("SC_rgb_rle_2frame.dcm", (100, 100)),
        ("examples_ybr_color.dcm", (240, 320)),
    ],
)
def test_other_compressions_colours_and_many_frames_give_one_grey_picture(name, shape):
    found = xray().decode(Path(get_testdata_file(name)).read_bytes())
    assert found.shape == shape
    assert (found.min(), found.max()) == (0, 255)


def test_colour_becomes_its_luma():
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    red, green, blue, white = shown(np.concatenate([colours, colours * 0]))[0].tolist()
    assert (red, green, blue, white) == (76, 150, 29, 255)


def test_a_dicom_without_pixels_is_invalid():
    made = dataset(RAMP)
    del made.PixelData
    with pytest.raises(InvalidInputError, match="holds no pixel data"):
        xray().decode(saved(made))


def test_kinds_of_dicom_pictures_that_are_no_radiographs_are_invalid():
    for elements in ({"PhotometricInterpretation": "PALETTE COLOR"}, {"BitsAllocated": 32}):
        with pytest.raises(InvalidInputError, match="expected"):
            shown(RAMP, **elements)


def test_huge_rows_and_columns_are_refused_by_the_header():
    made = dataset(RAMP, Rows=65_535, Columns=65_535)
    with pytest.raises(TooLargeError, match=r"65,535 x 65,535 pixels; the limit \(pixels\)"):
        xray().decode(saved(made))


def test_a_codestream_that_is_larger_than_its_header_says_is_never_decoded():
    made = pydicom.dcmread(DATA / "chest_pneumonia_monochrome1_jpeg2000.dcm")
    pixels = bytearray(made.PixelData)
    at = pixels.find(b"\xff\x4f\xff\x51") + 8
    pixels[at : at + 8] = struct.pack(">II", 60_000, 60_000)
    made.PixelData = bytes(pixels)
    with pytest.raises(UndecodableError, match="60000 x 60000"):
        xray().decode(saved(made))


def test_run_lengths_never_unpack_to_more_than_declared():
    made = dataset(np.zeros((4, 4), np.uint8), uid.RLELossless)
    segment = b"\x81\x07" * 1_000_000
    made.PixelData = encapsulate([struct.pack("<16I", 1, 64, *[0] * 14) + segment])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    with pytest.raises(UndecodableError):
        xray().decode(saved(made))


def test_a_deflated_bomb_is_refused_before_it_is_unpacked():
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(bytes(4_000_000)) + packer.flush()
    data = raw_dicom(body, b"1.2.840.10008.1.2.1.99")
    with pytest.raises(TooLargeError, match="decoded_bytes"):
        xray(Limits(decoded_bytes=2_000_000)).decode(data)


@pytest.mark.parametrize("nested", [False, True])
def test_endless_elements_are_refused(nested, monkeypatch):
    monkeypatch.setattr(dicom, "MAX_READS", 5_000)
    element = struct.pack("<HH2sHI", 0x29, 0x1010, b"UN", 0, 0)
    sequence = struct.pack("<HH2sHI", 0x29, 0x1011, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    data = raw_dicom((sequence + item if nested else b"") + element * 50_000)
    with pytest.raises(TooLargeError, match="elements"):
        xray().decode(data)


def test_sequences_nested_too_deep_are_refused():
    sequence = struct.pack("<HH2sHI", 0x29, 0x1011, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    with pytest.raises(UndecodableError):
        xray().decode(raw_dicom((sequence + item) * 5_000))
