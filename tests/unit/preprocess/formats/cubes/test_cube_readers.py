from __future__ import annotations

import io
import struct
import zipfile
import zlib

import imagecodecs
import numpy as np
import pytest
import scipy.io
import tifffile

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.cubes import cube_readers
from omnivec2.spec import Limits

LIMITS = Limits(decoded_bytes=2**16, pixels=100)
BANDS = 4
CUBE = np.arange(24, dtype=np.float32).reshape(3, 2, BANDS)
HEADER = {
    "samples": 2,
    "lines": 3,
    "bands": BANDS,
    "header offset": 0,
    "data type": 4,
    "interleave": "bip",
    "byte order": 0,
}


HEADER_TEXT = ("ENVI\n" + "".join(f"{k} = {v}\n" for k, v in HEADER.items())).encode()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def envi(data: bytes | None = None, **fields) -> bytes:
    values = HEADER | {name.replace("_", " "): value for name, value in fields.items()}
    lines = "".join(f"{name} = {value}\n" for name, value in values.items())
    return zipped(
        {
            "cube.hdr": f"ENVI\n{lines}".encode(),
            "cube.img": CUBE.tobytes() if data is None else data,
        }
    )


def mat(**variables) -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"PK\x03\x04", "application/zip"),
        (b"MATLAB 5.0 MAT-file", "application/x-matlab-data"),
        (b"\x89HDF\r\n", "application/x-matlab-data"),
        (b"II*\0", "image/tiff"),
        (b" [1]", "application/json"),
        (b"", None),
    ],
)
def test_formats_are_detected_by_their_first_bytes(data, media_type):
    assert cube_readers.sniff_cube(data) == media_type


def test_an_envi_archive_gives_its_cube():
    np.testing.assert_array_equal(cube_readers.read_zip(envi(), LIMITS, BANDS).values, CUBE)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (zipped({f"{i}.img": b"" for i in range(80)}), TooLargeError, "more than 64 members"),
        (zipped({"cube.img": b""}), InvalidInputError, r"\.hdr.* got cube.img"),
        (zipped({"cube.hdr": HEADER_TEXT, "other.img": b""}), InvalidInputError, "one data file"),
        (
            zipped({"cube.hdr": bytes(2**21), "cube.img": b""}),
            TooLargeError,
            "unpacks to more than 1,048,576",
        ),
        (zipped({"cube.hdr": HEADER_TEXT, "cube.img": bytes(2**17)}), TooLargeError, "unpacks to"),
        (zipped({"cube.hdr": b"ENVO\n", "cube.img": b""}), UndecodableError, "first line must be"),
        (envi(lines=0), InvalidInputError, "impossible size"),
        (envi(header_offset=-1), InvalidInputError, "impossible size"),
        (envi(file_compression=1), InvalidInputError, "compressed"),
        (envi(interleave="bsp"), InvalidInputError, "interleave"),
        (envi(data_type=6), InvalidInputError, "real numbers"),
        (envi(lines=300), TooLargeError, "600 pixels"),
        (envi(b"1234"), UndecodableError, "truncated"),
    ],
)
def test_envi_archives_that_cannot_be_used_are_refused(data, error, message):
    with pytest.raises(error, match=message):
        cube_readers.read_zip(data, LIMITS, BANDS)


def test_the_largest_fitting_variable_of_a_matlab_file_is_read():
    data = mat(small=CUBE[:1], cube=CUBE, other=np.zeros(7), text="x")
    np.testing.assert_array_equal(cube_readers.read_matlab(data, LIMITS, BANDS).values, CUBE)


def test_matlab_files_that_cannot_be_used_are_refused():
    for data, error, message in (
        (b"MATLAB 7.3 MAT-file", UndecodableError, "-v7"),
        (b"no matlab", UndecodableError, "MATLAB 5"),
        (mat(a=np.zeros(7)), InvalidInputError, r"the file has a \(1, 7\)"),
        (mat(a=np.zeros((3000, BANDS))), TooLargeError, "12,000 values"),
        (mat(a=np.zeros((200, BANDS), np.uint8)), TooLargeError, "200 pixels"),
        (mat(a=CUBE + 1j), InvalidInputError, "real numbers"),
        (mat(a=CUBE)[:150], UndecodableError, "truncated"),
    ):
        with pytest.raises(error, match=message):
            cube_readers.read_matlab(data, LIMITS, BANDS)


def test_compressed_elements_are_counted_before_they_are_read():
    packed = zlib.compress(bytes(2**18))
    element = struct.pack("<II", 15, len(packed)) + packed
    data = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM"
    with pytest.raises(TooLargeError, match="unpacks to more than 65,536"):
        cube_readers.read_matlab(data + element, LIMITS, BANDS)
    with pytest.raises(UndecodableError, match="truncated"):
        cube_readers.read_matlab(data + element[:-1], LIMITS, BANDS)


def tiff(array: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def test_the_bands_of_a_tiff_may_be_samples_or_pages():
    samples = tiff(CUBE, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(cube_readers.read_tiff(samples, LIMITS, BANDS).values, CUBE)
    pages = tiff(np.moveaxis(CUBE, 2, 0).copy(), photometric="minisblack")
    assert cube_readers.read_tiff(pages, LIMITS, BANDS).values.shape == (BANDS, 3, 2)


@pytest.mark.parametrize("pages", ["frames", "pages"])
def test_strips_that_hold_larger_pictures_than_they_declare_are_refused(pages):
    small, large = np.zeros((8, 8), np.uint8), np.zeros((64, 64), np.uint8)
    stream = io.BytesIO()
    if pages == "frames":
        tifffile.imwrite(stream, np.stack([small] * 4), photometric="minisblack", compression="png")
    else:
        with tifffile.TiffWriter(stream) as file:
            for _ in range(4):
                file.write(small, contiguous=False, metadata=None, compression="png")
    data = stream.getvalue()
    assert cube_readers.read_tiff(data, LIMITS, BANDS).values.shape == (4, 8, 8)
    packed = imagecodecs.png_encode(large)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[3].aspage().tags
        offset, count = tags["StripOffsets"], tags["StripByteCounts"]
        swapped = bytearray(data + packed)
        for tag, value in ((offset, len(data)), (count, len(packed))):
            size = 2 if tag.dtype == 3 else 4
            swapped[tag.valueoffset : tag.valueoffset + size] = value.to_bytes(size, "little")
    with pytest.raises(UndecodableError, match="more than it declares"):
        cube_readers.read_tiff(bytes(swapped), LIMITS, BANDS)


def test_tiffs_that_cannot_be_used_are_refused():
    grey = {"photometric": "minisblack"}
    for data, error, message in (
        (tiff(CUBE.astype(np.complex64), **grey), InvalidInputError, "real numbers"),
        (tiff(CUBE[..., :3].copy(), **grey), InvalidInputError, "expected 4 bands"),
        (tiff(np.zeros((BANDS, 40, 40), np.uint8), **grey), TooLargeError, "1,600 pixels"),
        (tiff(CUBE, **grey)[:-50], UndecodableError, "truncated|damaged"),
        (b"II*\0", UndecodableError, "unknown kind"),
    ):
        with pytest.raises(error, match=message):
            cube_readers.read_tiff(data, LIMITS, BANDS)
    with pytest.raises(TooLargeError, match="more than 50 bytes"):
        cube_readers.read_tiff(tiff(CUBE, **grey), Limits(decoded_bytes=50), BANDS)


def test_arrays_of_another_number_of_bands_are_invalid():
    stream = io.BytesIO()
    np.save(stream, np.zeros((3, 5)))
    with pytest.raises(InvalidInputError, match="expected 4 bands"):
        cube_readers.read_array(stream.getvalue(), LIMITS, BANDS)
    np.save(stream := io.BytesIO(), CUBE)
    read = cube_readers.read_array(stream.getvalue(), LIMITS, BANDS)
    np.testing.assert_array_equal(read.values, CUBE)
