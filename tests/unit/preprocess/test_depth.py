from __future__ import annotations

import base64
import contextlib
import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydantic import JsonValue

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import preprocessor_type
from omnivec2.preprocess.depth import DepthParameters, DepthPreprocessor
from omnivec2.preprocess.formats.measurements.depth_units import DepthOptions
from omnivec2.preprocess.notes import collect_notes
from omnivec2.preprocess.source_options import state
from omnivec2.spec import Limits, Modality

DATA = Path(__file__).parents[2] / "data" / "depth"
FILES = {
    "ball.png": "image/png",
    "ball_sequence.npy": "application/x-npy",
    "ball_sequence.tiff": "image/tiff",
}


def depth(limits: Limits | None = None, **parameters) -> DepthPreprocessor:
    return DepthPreprocessor(DepthParameters(**parameters), limits)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_claiming(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def tiff(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, photometric="minisblack", **options)
    return file.getvalue()


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(("name", "media_type"), FILES.items())
def test_every_accepted_format_is_detected_and_read(name, media_type):
    data = (DATA / name).read_bytes()
    preprocessor = depth()
    assert preprocessor.sniff(data) == media_type
    for declared in (media_type, None):
        (sample,) = preprocessor.prepare(preprocessor.decode(data, declared)).samples
        assert sample["depth"].shape == preprocessor.inputs[0].shape == (16, 64, 80)
        assert sample["depth"].dtype == np.uint16
        assert sample["depth"].max() == 3_200  # the wall


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_point_npy_is_in_metres(dtype):
    assert depth().decode(npy(np.full((4, 5), 1.5, dtype))).tolist() == [[[1500] * 5] * 4]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.uint32, np.int64])
def test_integer_npy_is_in_millimetres(dtype):
    assert depth().decode(npy(np.full((2, 4, 5), 1500, dtype))).tolist() == [[[1500] * 5] * 4] * 2


def test_16_bit_png_and_tiff_are_in_millimetres_and_float_tiff_in_metres():
    picture = np.full((4, 5), 1500, np.uint16)
    metres = np.full((4, 5), 1.5, np.float32)
    for data in (png(picture), tiff(picture), tiff(picture, compression="zlib"), tiff(metres)):
        assert depth().decode(data).tolist() == [[[1500] * 5] * 4]


def test_what_is_no_depth_becomes_zero_and_what_is_too_far_saturates():
    values = np.array([[np.nan, np.inf, -np.inf, -1.0, 0.0, 1e9, 2.0]])
    assert depth().decode(npy(values)).tolist() == [[[0, 0, 0, 0, 0, 65_535, 2_000]]]


def test_depth_is_cut_at_the_farthest_the_network_knows():
    sample = depth(max_mm=4_080).prepare(np.full((8, 8), 60_000, np.uint16)).samples[0]
    assert np.unique(sample["depth"]).tolist() == [4_080]


def test_a_single_picture_is_repeated_and_a_short_sequence_repeats_its_last_frame():
    frames = np.arange(1, 4, dtype=np.uint16)[:, None, None] * np.ones((1, 8, 8), np.uint16)
    assert depth(frames=5).prepare(frames).samples[0]["depth"][:, 0, 0].tolist() == [1, 2, 3, 3, 3]
    assert depth(frames=3).prepare(frames[0]).samples[0]["depth"][:, 0, 0].tolist() == [1, 1, 1]


def test_a_long_sequence_gives_the_middles_of_equal_parts():
    frames = np.arange(1, 41, dtype=np.uint16)[:, None, None] * np.ones((1, 8, 8), np.uint16)
    assert depth(frames=4).prepare(frames).samples[0]["depth"][:, 0, 0].tolist() == [6, 16, 26, 36]


def test_resizing_never_invents_depths():
    picture = np.where(np.arange(200) < 100, 1_000, 3_000).astype(np.uint16)[None].repeat(150, 0)
    sample = depth().prepare(picture)
    assert set(np.unique(sample.samples[0]["depth"])) == {1_000, 3_000}
    assert sample.context == {"size": (200, 150), "frames": 1}


def test_nested_lists_are_metres_unless_they_say_millimetres():
    preprocessor = depth()
    metres = preprocessor.decode_json({"depth": [[1.5, 0], [2, 3]]})
    millimetres = preprocessor.decode_json({"depth": [[1500, 0], [2000, 3000]], "unit": "mm"})
    assert metres.tolist() == millimetres.tolist() == [[[1500, 0], [2000, 3000]]]
    sequence = preprocessor.decode_json({"depth": [[[1, 2]], [[3, 4]]], "unit": "m"})
    assert sequence.shape == (2, 1, 2)
    assert preprocessor.decode_json(preprocessor.json_example).shape == (1, 2, 3)


def test_base64_of_a_file_is_taken_and_a_list_is_a_list_of_inputs():
    text = base64.b64encode((DATA / "ball.png").read_bytes()).decode()
    assert depth().decode_json(text).shape == (1, 120, 160)
    assert depth().split([text, text]) == [text, text]
    assert depth().split({"depth": [[1]]}) is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"depth": [[1, 2], [3]]}, "same length"),
        ({"depth": [["1", "2"]]}, "numbers only"),
        ({"depth": [[None, 1]]}, "numbers only"),
        ({"depth": [[True]]}, "numbers only"),
        ({"depth": [[10**400, 1]]}, "numbers only"),
        ({"depth": [1, 2]}, "height, width"),
        ({"depth": [[[[1, 2], [1, 2]], [[1, 2], [1, 2]]]]}, "height, width"),
        ({"depth": "text"}, "nested lists"),
        ({"depth": [[1]], "unit": "furlong"}, "unit must be one of m, cm, mm"),
        ({"depth": [[1]], "unit": ["m"]}, "unit must be one of m, cm, mm"),
        ({"depths": [[1]]}, "depths"),
        ({"depth": [[0, 0]]}, "no pixel has a depth"),
        (3, "base64"),
    ],
)
def test_json_that_is_no_depth_is_invalid_and_says_why(value, message):
    with pytest.raises(InvalidInputError, match=message):
        depth().decode_json(value)


def test_empty_lists_are_refused():
    empty: list[JsonValue] = [[], [[]], [[[]]]]
    for value in empty:
        with pytest.raises(InputError):
            depth().decode_json({"depth": value})


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.float32),
        np.full((4, 4), np.nan),
        np.ones(4, np.float32),
        np.ones((2, 2, 2, 2), np.float32),
        np.ones((4, 4), np.uint8),
        np.ones((4, 4), np.complex64),
    ],
)
def test_arrays_that_are_no_depth_are_invalid(array):
    with pytest.raises(InvalidInputError):
        depth().decode(npy(array))


def test_8_bit_and_colour_pictures_are_invalid():
    for data in (
        png(np.zeros((4, 4), np.uint8)),
        png(np.zeros((4, 4, 3), np.uint8)),
        tiff(np.ones((4, 4), np.uint8)),
    ):
        with pytest.raises(InvalidInputError):
            depth().decode(data)
    file = io.BytesIO()
    tifffile.imwrite(file, np.ones((4, 4, 3), np.uint16), photometric="rgb")
    with pytest.raises(InvalidInputError, match="grey TIFF pages"):
        depth().decode(file.getvalue())


def test_tiff_pages_of_different_sizes_are_invalid():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(np.ones((4, 4), np.uint16), contiguous=False)
        writer.write(np.ones((4, 5), np.uint16), contiguous=False)
    with pytest.raises(InvalidInputError, match="pages differ"):
        depth().decode(file.getvalue())


def test_pickled_objects_are_never_loaded():
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UndecodableError, match="pickled"):
        depth().decode(file.getvalue())


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def test_the_depths_of_an_npz_are_read():
    picture = np.full((4, 5), 1500, np.uint16)
    for data in (npz(picture=picture), npz(depth=picture, colour=np.ones((4, 5, 3), np.uint8))):
        assert depth().sniff(data) == "application/x-npz"
        for media_type in (None, "application/x-npz", "application/npy"):
            assert depth().decode(data, media_type).tolist() == [[[1500] * 5] * 4]


def test_an_npz_of_several_arrays_without_a_name_is_refused():
    with pytest.raises(InvalidInputError, match=r"one array of depths, it has a \(4, 5\), b"):
        depth().decode(npz(a=np.ones((4, 5)), b=np.ones((4, 5))))
    with pytest.raises(InvalidInputError, match="it has a"):
        depth().decode(npz(a=np.ones(4)))


@pytest.mark.parametrize("shape", [(10**6, 10**6), (10**9, 10**9, 10**9), (1, 10_000, 10_000)])
def test_an_npy_that_claims_terabytes_is_refused_by_its_header(shape):
    with pytest.raises(TooLargeError):
        depth().decode(npy_claiming(shape))


def test_frames_and_pixels_over_the_limits_name_them():
    many = np.ones((11, 2, 2), np.uint16)
    for data in (npy(many), tiff(many)):
        with pytest.raises(TooLargeError, match=r"limit \(frames\) of 10"):
            depth(Limits(frames=10)).decode(data)
    large = np.ones((20, 20), np.uint16)
    for data in (npy(large), tiff(large), png(large)):
        with pytest.raises(TooLargeError, match=r"limit \(pixels\) is 300"):
            depth(Limits(pixels=300)).decode(data)
    with pytest.raises(TooLargeError, match="decoded_bytes"):
        depth(Limits(decoded_bytes=700)).decode(tiff(large))


def test_a_tiff_that_claims_a_huge_picture_is_refused_by_its_header():
    data = bytearray(tiff(np.ones((16, 16), np.uint16)))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        for name in ("ImageWidth", "ImageLength"):
            at, size = tags[name].valueoffset, tags[name].valuebytecount
            data[at : at + size] = (2 ** (8 * size) - 1).to_bytes(size, "little")
    with pytest.raises(TooLargeError, match="pixels"):
        depth().decode(bytes(data))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused_as_undecodable(name, share):
    data = (DATA / name).read_bytes()
    with pytest.raises(UndecodableError):
        depth().decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("data", [b"", b"no depth", bytes(300), b"\x93NUMPY", b"II*\x00\x08"])
def test_bytes_that_are_no_depth_are_refused_as_undecodable(data):
    with pytest.raises(UndecodableError):
        depth().decode(data)


def test_other_bytes_than_declared_are_refused():
    data = (DATA / "ball.png").read_bytes()
    with pytest.raises(UndecodableError, match="declared as NPY, but the bytes are PNG"):
        depth().decode(data, "application/x-npy")
    with pytest.raises(UnsupportedMediaTypeError):
        depth().decode(data, "image/jpeg")


@pytest.mark.parametrize("name", FILES)
def test_damaged_bytes_never_raise_anything_but_input_errors(name):
    original = (DATA / name).read_bytes()
    generator = np.random.default_rng(0)
    preprocessor = depth()
    for _ in range(40):
        data = np.frombuffer(original, dtype=np.uint8).copy()
        where = generator.integers(0, min(len(data), 2_000), generator.integers(1, 30))
        data[where] = generator.integers(0, 256, len(where))
        with contextlib.suppress(InputError):
            preprocessor.prepare(preprocessor.decode(data.tobytes()))


def test_the_registry_finds_it():
    assert preprocessor_type(Modality.DEPTH) is DepthPreprocessor


ROOM = np.linspace(500, 3500, 48 * 64).reshape(48, 64).astype(np.uint16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_png_is_applied(orientation):
    turned = {
        1: ROOM, 2: ROOM[:, ::-1], 3: ROOM[::-1, ::-1], 4: ROOM[::-1], 5: ROOM.T,
        6: ROOM.T[::-1], 7: ROOM[::-1, ::-1].T, 8: ROOM.T[:, ::-1],
    }  # fmt: skip
    stored = np.ascontiguousarray(turned[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(stored).save(file, "PNG", exif=exif)
    assert np.array_equal(depth().decode(file.getvalue())[0], ROOM)


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({"depth_unit": "m"}, 1000), ({"depth_unit": "cm"}, 10), ({"scale": 1 / 5000}, 0.2),
        ({"scale": 0.001}, 1), ({"depth_unit": "mm", "scale": 0.25}, 0.25),
    ],
)  # fmt: skip
def test_the_unit_or_scale_of_a_file_can_be_stated(options, factor):
    stored = np.round(ROOM / factor).astype(np.uint16)
    with state(DepthOptions(**options)):
        for data in (png(stored), npy(stored), tiff(stored)):
            assert np.abs(depth().decode(data)[0] - ROOM.astype(float)).max() <= factor / 2 + 0.5


def test_a_stated_mark_is_no_data():
    marked = np.where(ROOM > 3000, 4095, ROOM).astype(np.uint16)
    with state(DepthOptions(no_data=4095)):
        found = depth().decode(png(marked))[0]
    assert np.array_equal(found == 0, ROOM > 3000)


def gdal_tiff(array, *, no_data=None, items=()) -> bytes:
    tags = [(42113, "s", 0, no_data, True)] if no_data else []
    if items:
        text = "".join(f'<Item name="x" sample="0" role="{r}">{v}</Item>' for r, v in items)
        tags.append((42112, "s", 0, f"<GDALMetadata>{text}</GDALMetadata>", True))
    return tiff(array, extratags=tags, metadata=None)


def test_tags_of_gdal_are_applied():
    marked = np.where(ROOM > 3000, 9999, ROOM).astype(np.uint16)
    found = depth().decode(gdal_tiff(marked, no_data="9999"))[0]
    assert np.array_equal(found == 0, ROOM > 3000)
    scaled = gdal_tiff(ROOM, items=[("scale", 0.0005), ("offset", 0.1), ("unittype", "metre")])
    assert np.abs(depth().decode(scaled)[0] - (ROOM * 0.5 + 100)).max() <= 0.5
    with collect_notes() as notes:
        depth().decode(gdal_tiff(ROOM, items=[("scale", 0.001), ("unittype", "dn")]))
    assert [note.code for note in notes] == ["ignored"]


def test_depth_far_beyond_the_head_is_noted():
    with collect_notes() as notes:
        depth().decode(png((ROOM * 5 + 2000).astype(np.uint16)))
    assert [note.code for note in notes] == ["unusual"]
    assert "state depth_unit or scale" in next(iter(notes)).text


def test_axes_of_one_entry_and_frames_at_the_end_are_understood():
    sequence = np.stack([ROOM, ROOM + 100, ROOM + 200])
    with collect_notes() as notes:
        assert np.array_equal(depth().decode(npy(ROOM[..., None])), ROOM[None])
        assert np.array_equal(depth().decode(npy(sequence[..., None])), sequence)
        assert np.array_equal(depth().decode(npy(sequence[:, None])), sequence)
        assert np.array_equal(depth().decode(npy(sequence[:1, ..., None])), sequence[:1])
    assert not len(notes)
    with collect_notes() as notes:
        assert np.array_equal(depth().decode(npy(np.moveaxis(sequence, 0, 2))), sequence)
    assert [note.code for note in notes] == ["guessed"]


def test_integers_in_json_are_millimetres_if_they_are_too_large_for_metres():
    with collect_notes() as notes:
        found = depth().decode_json({"depth": ROOM.tolist()})
    assert np.array_equal(found[0], ROOM)
    assert [note.code for note in notes] == ["guessed"]
    assert np.array_equal(depth().decode_json({"depth": ROOM.tolist(), "unit": "mm"})[0], ROOM)
    with state(DepthOptions(depth_unit="mm")), collect_notes() as notes:
        assert np.array_equal(depth().decode_json({"depth": ROOM.tolist()})[0], ROOM)
    assert not len(notes)


def test_16_bits_are_kept_beside_transparency_and_colours_are_refused():
    opaque = np.full(ROOM.shape, 65_535, np.uint16)
    data = imagecodecs.png_encode(np.stack([ROOM, opaque], axis=-1))
    assert np.array_equal(depth().decode(data)[0], ROOM)
    with pytest.raises(InvalidInputError, match="expected a 16-bit grey PNG"):
        depth().decode(imagecodecs.png_encode(np.stack([ROOM] * 3, axis=-1)))
