from __future__ import annotations

import base64
import contextlib
import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import preprocessor_type
from omnivec2.preprocess.formats.dicom import dicom_file as dicom
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.preprocess.xray import XrayParameters, XrayPreprocessor
from omnivec2.spec import Limits, Modality

DATA = Path(__file__).parents[2] / "data" / "xray"
FILES = {
    "chest_normal.dcm": "application/dicom",
    "chest_pneumonia_monochrome1_jpeg2000.dcm": "application/dicom",
    "chest_normal_16bit.png": "image/png",
    "chest_pneumonia.png": "image/png",
    "chest_pneumonia.jpg": "image/jpeg",
}
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


@pytest.mark.parametrize(("name", "media_type"), FILES.items())
def test_every_accepted_format_is_detected_and_read(name, media_type):
    data = (DATA / name).read_bytes()
    preprocessor = xray()
    assert preprocessor.sniff(data) == media_type
    for declared in (media_type, None):
        prepared = preprocessor.prepare(preprocessor.decode(data, declared))
        (sample,) = prepared.samples
        assert sample["pixels"].shape == preprocessor.inputs[0].shape == (96, 96, 1)
        assert sample["pixels"].dtype == np.uint8
        assert prepared.context == {"size": (112, 112)}


@pytest.mark.parametrize(
    "names",
    [
        ("chest_normal.dcm", "chest_normal_16bit.png"),
        ("chest_pneumonia.png", "chest_pneumonia_monochrome1_jpeg2000.dcm"),
        ("chest_pneumonia.png", "chest_pneumonia.jpg"),
    ],
)
def test_the_container_of_a_picture_makes_no_difference(names):
    preprocessor = xray()
    first, second = (
        preprocessor.prepare(preprocessor.decode((DATA / n).read_bytes())).samples[0]["pixels"]
        for n in names
    )
    assert np.abs(first.astype(int) - second).mean() < 2


def test_a_picture_is_scaled_by_its_own_range():
    picture = np.linspace(50, 150, 96 * 96).reshape(96, 96)
    for native in (picture.astype(np.uint8), picture.astype(np.float32), picture * 100):
        pixels = xray().prepare(native).samples[0]["pixels"]
        assert (pixels.min(), pixels.max()) == (0, 255)


def test_a_picture_of_one_value_becomes_black():
    assert xray().prepare(np.full((9, 9), 77, np.uint8)).samples[0]["pixels"].max() == 0


def test_training_arrays_are_prepared():
    sample = xray().prepare(np.arange(784, dtype=np.uint8).reshape(28, 28)).samples[0]
    assert sample["pixels"].shape == (96, 96, 1)


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


def test_json_may_be_base64():
    text = base64.b64encode((DATA / "chest_normal.dcm").read_bytes()).decode()
    assert xray().decode_json(text).shape == (112, 112)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.005, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(name, share):
    data = (DATA / name).read_bytes()
    with pytest.raises((UndecodableError, InvalidInputError)):
        xray().decode(data[: int(len(data) * share)])


def test_a_dicom_that_ends_inside_its_pixels_is_undecodable():
    data = (DATA / "chest_normal.dcm").read_bytes()
    with pytest.raises(UndecodableError):
        xray().decode(data[:-100])


@pytest.mark.parametrize("data", [b"", b"no picture", bytes(300), bytes(128) + b"DICM"])
def test_bytes_that_are_no_radiograph_are_refused(data):
    with pytest.raises(InputError):
        xray().decode(data)


def test_other_bytes_than_declared_are_refused():
    data = (DATA / "chest_pneumonia.png").read_bytes()
    with pytest.raises(UndecodableError, match="declared as DICOM, but the bytes are PNG"):
        xray().decode(data, "application/dicom")
    with pytest.raises(UnsupportedMediaTypeError):
        xray().decode(data, "image/tiff")


def test_colour_pictures_become_grey_and_eight_bits_stay():
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 20, 30)).save(file, "PNG")
    assert xray().decode(file.getvalue()).dtype == np.uint8


@pytest.mark.parametrize("array", [np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)])
def test_arrays_that_are_no_grey_pictures_are_invalid(array):
    with pytest.raises(InvalidInputError):
        xray().prepare(array)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("name", FILES)
def test_damaged_bytes_never_raise_anything_but_input_errors(name):
    original = (DATA / name).read_bytes()
    generator = np.random.default_rng(0)
    preprocessor = xray()
    for _ in range(60):
        data = np.frombuffer(original, dtype=np.uint8).copy()
        where = generator.integers(0, min(len(data), 1_500), generator.integers(1, 30))
        data[where] = generator.integers(0, 256, len(where))
        with contextlib.suppress(InputError):
            preprocessor.prepare(preprocessor.decode(data.tobytes()))


def test_the_registry_finds_it():
    assert preprocessor_type(Modality.XRAY) is XrayPreprocessor


def test_a_picture_of_nothing_but_padding_is_invalid():
    with pytest.raises(InvalidInputError, match="nothing but padding"):
        shown(np.full((2, 2), 7, np.uint16), PixelPaddingValue=7)


def compressed(stream: bytes, syntax: str, shape: tuple[int, int], **elements) -> bytes:
    """A file of 12 bits in 16, with one compressed frame."""
    made = dataset(np.zeros(shape, np.uint16), syntax, BitsStored=12, HighBit=11, **elements)
    made.PixelData = encapsulate([stream])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    return saved(made)


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
