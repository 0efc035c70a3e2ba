from __future__ import annotations

import base64
import io
import json
import random
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import tifffile

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess import collate
from omnivec2.preprocess.hyperspectral import (
    HyperspectralOptions,
    HyperspectralParameters,
    HyperspectralPreprocessor,
)
from omnivec2.preprocess.notes import collect_notes
from omnivec2.preprocess.source_options import state
from omnivec2.spec import Limits

DATA = Path(__file__).parents[2] / "data" / "hyperspectral"
FILES = [DATA / name for name in ("field.npy", "field.mat", "field.tif", "field_envi.zip")]
CUBE = np.load(DATA / "field.npy")


@pytest.fixture
def preprocess() -> HyperspectralPreprocessor:
    return HyperspectralPreprocessor(HyperspectralParameters())


@pytest.fixture
def four_bands() -> HyperspectralPreprocessor:
    return HyperspectralPreprocessor(HyperspectralParameters(bands=4, window=3))


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def mat(**variables) -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables)
    return stream.getvalue()


def envi(header: str, data: bytes, names=("cube.hdr", "cube.img"), **options) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        archive.writestr(names[0], header)
        archive.writestr(names[1], data)
    return stream.getvalue()


HEADER = (
    "ENVI\nSamples = 2\nlines = 3\nbands = 4\nheader offset = 0\ndata type = 4\n"
    "interleave = bip\nbyte order = 0\nwavelength = {400,\n 500, 600, 700}\n"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_format_gives_the_same_cube(preprocess, path):
    assert np.array_equal(preprocess.decode(path.read_bytes()), CUBE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_detected_content_types_are_accepted_ones(preprocess, path):
    assert preprocess.sniff(path.read_bytes()) in preprocess.media_types


def test_there_is_one_window_per_pixel_row_by_row(preprocess):
    prepared = preprocess.prepare(CUBE)
    assert prepared.context["grid"] == (9, 8)
    assert len(prepared.samples) == 72
    window = prepared.samples[4 * 8 + 4]["window"]
    assert window.dtype == np.float32
    assert np.array_equal(window, CUBE[1:8, 1:8])


def test_windows_at_the_edge_are_mirrored(four_bands):
    cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    first = four_bands.prepare(cube).samples[0]["window"]
    expected = np.pad(cube, ((1, 1), (1, 1), (0, 0)), mode="symmetric")[:3, :3]
    assert np.array_equal(first, expected)


def test_windows_are_made_on_access_only(preprocess):
    cube = np.zeros((256, 256, 204), dtype=np.int16)
    tracemalloc.start()
    prepared = preprocess.prepare(cube)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(prepared.samples) == 65_536
    assert peak < 2**20


def test_windows_can_be_sliced_and_counted_from_the_end(preprocess):
    samples = preprocess.prepare(CUBE).samples
    assert np.array_equal(samples[-1]["window"], samples[71]["window"])
    assert collate(samples[70:])["window"].shape == (2, 7, 7, 204)
    with pytest.raises(IndexError):
        samples[72]


def test_spectra_that_are_no_picture_do_not_mix(preprocess):
    spectra = np.arange(3 * 204).reshape(3, 204)
    prepared = preprocess.prepare(preprocess.decode_json(spectra.tolist()))
    assert prepared.context["grid"] == (3, 1)
    assert (prepared.samples[1]["window"] == spectra[1]).all()


def test_json_may_be_a_spectrum_spectra_a_cube_and_a_base64_file(preprocess):
    spectrum = json.loads((DATA / "spectrum.json").read_text())
    assert preprocess.decode_json(spectrum).shape == (1, 204)
    assert preprocess.decode_json([spectrum, spectrum]).shape == (2, 204)
    assert preprocess.decode_json(CUBE.tolist()).shape == CUBE.shape
    text = base64.b64encode(FILES[0].read_bytes()).decode()
    assert np.array_equal(preprocess.decode_json(text), CUBE)
    assert preprocess.decode((DATA / "spectrum.json").read_bytes()).shape == (1, 204)


def test_nested_numbers_are_one_input_and_other_lists_many(preprocess):
    for one in ([1, 2], [[1, 2]], [[[1, 2]]], [], "AAAA"):
        assert preprocess.split(one) is None
    assert preprocess.split(["AAAA", "BBBB"]) == ["AAAA", "BBBB"]
    assert preprocess.split([[[[1, 2]]], [[[3, 4]]]]) == [[[[1, 2]]], [[[3, 4]]]]


def test_bands_may_come_first(preprocess):
    assert np.array_equal(preprocess.decode(npy(CUBE.transpose(2, 0, 1))), CUBE)


def test_pages_of_a_tiff_may_be_the_bands(four_bands):
    stream = io.BytesIO()
    pages = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    with tifffile.TiffWriter(stream) as file:
        for page in pages:
            file.write(page, contiguous=False, metadata=None)
    assert np.array_equal(four_bands.decode(stream.getvalue()), pages.transpose(1, 2, 0))


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip", "BIP"])
@pytest.mark.parametrize(
    "names", [("cube.hdr", "cube.img"), ("a/x.dat.hdr", "a/x.dat"), ("x.HDR", "x")]
)
def test_envi_interleaves_and_names_are_understood(four_bands, interleave, names):
    cube = np.arange(24, dtype="<f4").reshape(3, 2, 4)
    axes = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[interleave.lower()]
    data = cube.transpose(axes).tobytes()
    header = HEADER.replace("bip", interleave)
    assert np.array_equal(four_bands.decode(envi(header, data, names)), cube)


def test_the_largest_fitting_variable_of_a_matlab_file_is_taken(four_bands):
    cube = np.arange(24.0).reshape(3, 2, 4)
    data = mat(name="text", small=np.zeros((1, 1, 4)), cube=cube, other=np.zeros((90, 3)))
    assert np.array_equal(four_bands.decode(data), cube)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 3, 5)), np.zeros((2, 2, 2, 4)), np.zeros((0, 3, 4)), np.zeros(5),
        np.full((2, 2, 4), np.nan), np.full((2, 2, 4), 1e300), np.zeros(()),
    ],
)  # fmt: skip
def test_arrays_that_are_no_cube_of_the_sensor_are_refused(four_bands, array):
    with pytest.raises(InvalidInputError):
        four_bands.decode(npy(array))


@pytest.mark.parametrize(
    "value", [[], [[]], [["a"]], [[1, 2], [3]], {"cube": 1}, 3, None, [True] * 4]
)
def test_json_that_is_no_cube_is_refused(four_bands, value):
    with pytest.raises(InputError):
        four_bands.decode_json(value)


def test_matlab_7_3_files_are_refused_with_the_way_out(preprocess):
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n"
    with pytest.raises(UndecodableError, match="-v7"):
        preprocess.decode(head)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"hello", b"PK\x03\x04", b"MATLAB 5.0 MAT-file", b"II*\0", b"\x93NUMPY",
        mat(cube=np.zeros((3, 3, 5))), mat(cube=np.zeros((2, 2, 4), dtype=complex)), mat(),
        envi("ENVI\n", b""), envi("no header", b""), envi(HEADER, b"\0" * 95),
        envi(HEADER.replace("lines = 3", "lines = -3"), b"\0" * 96),
        envi(HEADER.replace("lines = 3", "lines = three"), b"\0" * 96),
        envi(HEADER.replace("type = 4", "type = 99"), b"\0" * 96),
        envi(HEADER.replace("type = 4", "type = 6"), b"\0" * 192),
        envi(HEADER.replace("bip", "bix"), b"\0" * 96),
        envi(HEADER + "file compression = 1\n", b"\0" * 96),
        envi(HEADER + "wavelength = {", b"\0" * 96),
        envi(HEADER, b"\0" * 96, names=("a.hdr", "b.img")),
        envi(HEADER, b"\0" * 96, names=("a.txt", "b.img")),
    ],
)  # fmt: skip
def test_bytes_that_are_no_cube_are_refused(four_bands, data):
    with pytest.raises(InputError):
        four_bands.decode(data)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_truncated_files_are_refused(preprocess, path):
    data = path.read_bytes()
    media_type = preprocess.sniff(data)
    for kept in (len(data) - 1, len(data) // 2, 200, 20):
        with pytest.raises(InputError):
            preprocess.decode(data[:kept], media_type)


def zip_bomb() -> bytes:
    return envi(HEADER, bytes(200 * 2**20))


def matlab_bomb() -> bytes:
    inflater = zlib.compressobj()
    packed = b"".join(inflater.compress(bytes(2**20)) for _ in range(200)) + inflater.flush()
    return mat(cube=np.zeros((2, 2, 4)))[:128] + struct.pack("<II", 15, len(packed)) + packed


def tiff_bomb(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((64, 65), np.uint8), compression="zlib", rowsperstrip=64)
    data = bytearray(stream.getvalue())
    for old, new in ((65, width), (64, height)):
        entry = data.find(struct.pack("<HI", 256 if old == 65 else 257, 4)[:2], 8)
        data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, new)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        zip_bomb(), matlab_bomb(), tiff_bomb(4, 2**31 - 1), tiff_bomb(100_000, 100_000),
        npy(np.zeros((1, 4))).replace(b"(1, 4), }", b"(99999999, 4), }"),
        envi(HEADER.replace("lines = 3", "lines = 3000000000"), b"\0" * 96),
    ],
    ids=["zip", "matlab", "tiff", "square tiff", "npy", "envi"],
)  # fmt: skip
def test_bombs_are_refused_before_memory_is_spent(four_bands, data):
    tracemalloc.start()
    with pytest.raises(InputError):
        four_bands.decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 2**20


def test_limits_are_the_head_specs():
    small = HyperspectralPreprocessor(HyperspectralParameters(), Limits(pixels=71))
    for path in FILES:
        with pytest.raises(TooLargeError):
            small.decode(path.read_bytes())
    with pytest.raises(TooLargeError):
        small.decode_json(CUBE.tolist())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_damage_of_any_kind_is_an_input_error_or_a_cube(preprocess, path):
    rng = random.Random(path.name)
    data, media_type = path.read_bytes(), preprocess.sniff(path.read_bytes())
    for _ in range(40):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 4, 32))):
            damaged[rng.randrange(min(len(data), rng.choice((400, len(data)))))] = rng.randrange(
                256
            )
        try:
            preprocess.prepare(preprocess.decode(bytes(damaged), media_type))
        except InputError:
            continue


def test_a_window_without_a_centre_is_refused():
    with pytest.raises(ValueError, match="odd"):
        HyperspectralParameters(window=6)


@pytest.mark.parametrize("shape", [(2, 2, 2, 4), (0, 4)])
def test_arrays_of_too_many_axes_or_of_no_values_are_refused(four_bands, shape):
    with pytest.raises(InputError):
        four_bands.decode(npy(np.zeros(shape)))


def test_a_list_whose_ends_are_not_the_bands_is_refused(four_bands):
    with pytest.raises(InvalidInputError, match="expected 4 bands"):
        four_bands.decode_json([[1, 2, 3], [4, 5, 6]])


def notes_of(preprocessor, read) -> tuple[np.ndarray, list[str]]:
    with collect_notes() as notes:
        cube = read(preprocessor)
    return cube, [note.code for note in notes]


def test_pixels_without_data_are_holes_and_in_the_context(preprocess):
    cube = CUBE.astype(np.float32)
    cube[0] = np.nan
    closed, codes = notes_of(preprocess, lambda p: p.decode(npy(cube)))
    assert codes == ["dropped"]
    prepared = preprocess.prepare(closed)
    assert prepared.context["measured"].tolist() == [[False] * 8] + [[True] * 8] * 8
    assert len(prepared.samples) == 72
    assert (closed[0] == 0).all()
    assert "measured" not in preprocess.prepare(CUBE).context


def test_null_in_json_is_no_data(preprocess):
    spectrum = CUBE[0, 0].tolist()
    closed, codes = notes_of(
        preprocess, lambda p: p.decode_json([[None] * 204, spectrum, [None, *spectrum[1:]]])
    )
    assert codes == ["dropped", "filled"]
    assert closed.any(axis=1).tolist() == [False, True, True]


def test_what_the_caller_states_is_applied(preprocess):
    cube = (CUBE / 10_000).astype(np.float32)
    cube[2, 3] = -5
    with state(HyperspectralOptions(no_data=-5, scale=10_000)):
        closed, codes = notes_of(preprocess, lambda p: p.decode(npy(cube)))
    assert codes == ["dropped"]
    assert not closed[2, 3].any()
    np.testing.assert_allclose(closed[0], CUBE[0], rtol=1e-5)
    waves = tuple(np.linspace(0.397, 1.003, 204))
    with state(HyperspectralOptions(wavelengths=waves)), pytest.raises(
        InvalidInputError, match="wavelengths of the 204 bands go from 397 to 1003 nm"
    ):  # fmt: skip
        preprocess.decode(npy(CUBE))


def test_a_sensor_that_is_not_known_is_not_checked():
    parameters = HyperspectralParameters(sensor=None)
    unknown = HyperspectralPreprocessor(parameters)
    with state(HyperspectralOptions(wavelengths=tuple(np.linspace(397, 1003, 204)))):
        cube, codes = notes_of(unknown, lambda p: p.decode(npy(CUBE / 10_000)))
    assert codes == []
    assert cube.shape == CUBE.shape


def test_npz_is_read_under_any_of_the_names_of_numpys_types(preprocess):
    stream = io.BytesIO()
    np.savez(stream, cube=CUBE, labels=np.zeros((9, 8), np.uint8))
    for media_type in (None, "application/x-npz", "application/npy", "application/zip"):
        assert np.array_equal(preprocess.decode(stream.getvalue(), media_type), CUBE)
    for media_type in ("application/npy", "application/x-numpy", "application/npz"):
        assert np.array_equal(preprocess.decode(npy(CUBE), media_type), CUBE)


def test_an_archive_of_one_other_cube_is_read(preprocess):
    for path in FILES[:3]:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(path.name, path.read_bytes())
        assert np.array_equal(preprocess.decode(stream.getvalue()), CUBE)


def test_a_header_alone_is_refused_with_the_way_out(preprocess):
    with pytest.raises(InvalidInputError, match="send both in one ZIP"):
        preprocess.decode(HEADER.encode())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_cube_that_is_declared_as_another_format_is_read_with_a_note(preprocess, path):
    for media_type in ("image/tiff", "application/json", "application/x-matlab-data"):
        with collect_notes() as notes:
            assert np.array_equal(preprocess.decode(path.read_bytes(), media_type), CUBE)
        is_right = (
            preprocess.media_types[media_type]
            == (preprocess.media_types[preprocess.sniff(path.read_bytes())])
        )
        assert [note.code for note in notes] == ([] if is_right else ["guessed"])


def test_other_files_are_refused_by_their_name(preprocess):
    with pytest.raises(UndecodableError, match="the file is PNG; expected ENVI"):
        preprocess.decode(b"\x89PNG\r\n\x1a\n" + bytes(40))
