from __future__ import annotations

import base64
import contextlib
import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from pydantic import ValidationError

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import preprocessor_type
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.infrared import (
    InfraredOptions,
    InfraredParameters,
    InfraredPreprocessor,
)
from omnivec2.preprocess.notes import collect_notes
from omnivec2.preprocess.source_options import state
from omnivec2.spec import Limits, Modality

DATA = Path(__file__).parents[2] / "data" / "infrared"
FILES = {
    "person_16bit.tiff": "image/tiff",
    "person_16bit.png": "image/png",
    "person_radiometric.jpg": "image/jpeg",
    "car.png": "image/png",
    "car.jpg": "image/jpeg",
}


def infrared(limits: Limits | None = None, **parameters) -> InfraredPreprocessor:
    return InfraredPreprocessor(InfraredParameters(**parameters), limits)


def prepared(native: np.ndarray, **parameters) -> np.ndarray:
    return infrared(**parameters).prepare(native).samples[0]["pixels"]


def counts() -> np.ndarray:
    return np.arange(48, dtype=np.uint16).reshape(6, 8) * 100 + 20_000


def radiometric(
    values: np.ndarray, *, order: str = ">", as_png: bool = False, chunk: int = 64, size=None
) -> bytes:
    """A JPEG that carries ``values`` in an FFF file cut into APP1 segments."""
    height, width = size or values.shape
    if as_png:
        file = io.BytesIO()
        Image.fromarray(values.byteswap()).save(file, "PNG")
        body = file.getvalue()
    else:
        body = values.astype("<u2").tobytes()
    record = struct.pack("<HHH", 2, width, height) + bytes(26) + body
    head = b"FFF\0" + bytes(16) + struct.pack(f"{order}III", 101, 64, 2) + bytes(32)
    empty = struct.pack(f"{order}HHIIII", 0, 0, 100, 1, 0, 0) + bytes(12)
    entry = struct.pack(f"{order}HHIIII", 1, 0, 100, 2, 128, len(record)) + bytes(12)
    fff = head + empty + entry + record
    parts = [fff[at : at + chunk] for at in range(0, len(fff), chunk)]
    segments = [
        b"\xff\xe1" + struct.pack(">H", 10 + len(part)) + b"FLIR\0\1" + bytes([i, len(parts) - 1])
        + part
        for i, part in enumerate(parts)
    ]  # fmt: skip
    file = io.BytesIO()
    Image.new("RGB", (32, 24), (200, 30, 30)).save(file, "JPEG")
    jpeg = file.getvalue()
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


@pytest.mark.parametrize(("name", "media_type"), FILES.items())
def test_every_accepted_format_is_detected_and_read(name, media_type):
    data = (DATA / name).read_bytes()
    preprocessor = infrared()
    assert preprocessor.sniff(data) == media_type
    for declared in (media_type, None):
        result = preprocessor.prepare(preprocessor.decode(data, declared))
        (sample,) = result.samples
        assert sample["pixels"].shape == preprocessor.inputs[0].shape == (64, 64, 1)
        assert sample["pixels"].dtype == np.uint8
        assert result.context == {"size": (64, 64)}


def test_the_same_sensor_values_give_the_same_pixels_whatever_the_container():
    names = ("person_16bit.tiff", "person_16bit.png", "person_radiometric.jpg")
    first, *others = (prepared(infrared().decode((DATA / n).read_bytes())) for n in names)
    assert all(np.array_equal(first, other) for other in others)


def test_the_percentiles_become_black_and_white():
    values = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    found = prepared(values, height=100, width=100).ravel()
    assert found[:100].max() == 0
    assert found[9_900:].min() == 255
    assert int(found[5_000]) in (127, 128)


def test_gain_and_offset_of_the_sensor_do_not_matter():
    values = np.random.default_rng(0).integers(0, 200, (32, 32))
    expected = prepared(values.astype(np.uint8))
    assert np.array_equal(prepared((values * 50 + 20_000).astype(np.uint16)), expected)
    assert np.array_equal(prepared(values * 0.25 + 280.5), expected)


def test_one_hot_pixel_does_not_darken_the_rest():
    values = np.random.default_rng(0).integers(100, 200, (64, 64)).astype(np.uint16)
    calm = prepared(values).mean()
    values[0, 0] = 65_535
    assert prepared(values).mean() == pytest.approx(calm, abs=3)


def test_nan_is_coldest_and_a_picture_of_nan_is_invalid():
    values = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    values[-1] = np.nan
    assert prepared(values)[-1].max() < 40  # resized beside warm pixels
    with pytest.raises(InvalidInputError, match="finite"):
        prepared(np.full((4, 4), np.nan))


def test_a_picture_of_one_temperature_becomes_black():
    assert prepared(np.full((9, 9), 21_000, np.uint16)).max() == 0


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("as_png", [False, True])
def test_the_raw_picture_of_a_radiometric_jpeg_is_read_in_either_byte_order(order, as_png):
    found = infrared().decode(radiometric(counts(), order=order, as_png=as_png))
    assert np.array_equal(found, counts())


def test_a_plain_jpeg_gives_its_grey():
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 30, 30)).save(file, "JPEG", quality=95)
    found = infrared().decode(file.getvalue())
    assert found.shape == (6, 8)
    assert found.dtype == np.uint8


def test_a_radiometric_jpeg_without_all_of_its_thermal_data_is_undecodable():
    for data in (
        radiometric(counts()[:3], size=(6, 8)),
        radiometric(counts(), as_png=True, size=(9, 9)),
        radiometric(counts()).replace(b"FLIR\0\1\2", b"FLIR\0\1\0", 1),
    ):
        with pytest.raises(UndecodableError):
            infrared().decode(data)


def test_a_radiometric_jpeg_that_claims_a_huge_thermal_picture_is_refused():
    with pytest.raises(TooLargeError, match="thermal picture declares 60,000 x 60,000"):
        infrared().decode(radiometric(counts(), size=(60_000, 60_000)))


def test_a_tiff_of_many_pages_gives_its_first_and_of_four_inks_is_invalid():
    file = io.BytesIO()
    tifffile.imwrite(file, np.stack([counts(), counts() + 1]), photometric="minisblack")
    assert np.array_equal(infrared().decode(file.getvalue()), counts())
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((4, 4, 4), np.uint8), photometric="separated")
    with pytest.raises(InvalidInputError):
        infrared().decode(file.getvalue())


def test_json_may_be_base64():
    text = base64.b64encode((DATA / "car.png").read_bytes()).decode()
    assert infrared().decode_json(text).shape == (64, 64)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_file_is_refused_as_undecodable(name, share):
    data = (DATA / name).read_bytes()
    with pytest.raises(UndecodableError):
        infrared().decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("data", [b"", b"no picture", bytes(300), b"II*\x00\xff\xff\xff\xff"])
def test_bytes_that_are_no_picture_are_refused_as_undecodable(data):
    with pytest.raises(UndecodableError):
        infrared().decode(data)


def test_a_picture_that_is_declared_as_another_format_is_read_with_a_note():
    data = (DATA / "car.png").read_bytes()
    with collect_notes() as notes:
        infrared().decode(data, "image/tiff")
    assert "the bytes are PNG" in next(iter(notes)).text
    with pytest.raises(UnsupportedMediaTypeError):
        infrared().decode(data, "image/gif")


def test_limits_are_checked_against_headers():
    for name in ("person_16bit.tiff", "person_16bit.png", "car.jpg"):
        with pytest.raises(TooLargeError, match=r"limit \(pixels\) is 1,000"):
            infrared(Limits(pixels=1_000)).decode((DATA / name).read_bytes())


@pytest.mark.parametrize("array", [np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.uint8)])
def test_arrays_that_are_no_grey_pictures_are_invalid(array):
    with pytest.raises(InvalidInputError):
        infrared().prepare(array)


def test_percentiles_must_be_in_order():
    with pytest.raises(ValidationError):
        InfraredParameters(low_percentile=99, high_percentile=1)


@pytest.mark.parametrize("name", FILES)
def test_damaged_bytes_never_raise_anything_but_input_errors(name):
    original = (DATA / name).read_bytes()
    generator = np.random.default_rng(0)
    preprocessor = infrared()
    for _ in range(60):
        data = np.frombuffer(original, dtype=np.uint8).copy()
        where = generator.integers(0, len(data), generator.integers(1, 30))
        data[where] = generator.integers(0, 256, len(where))
        with contextlib.suppress(InputError):
            preprocessor.prepare(preprocessor.decode(data.tobytes()))


def test_the_registry_finds_it():
    assert preprocessor_type(Modality.INFRARED) is InfraredPreprocessor


SCENE = (np.hypot(*np.mgrid[-30:34, -40:40]) * 50 + 21_000).astype(np.uint16)
BORDER = np.mgrid[:64, :80][1] < 12


def scene_tiff(array, no_data=None, pages=1) -> bytes:
    file = io.BytesIO()
    tags = [(42113, "s", 0, no_data, True)] if no_data else []
    with tifffile.TiffWriter(file) as writer:
        for _ in range(pages):
            writer.write(array, extratags=tags, metadata=None, contiguous=False)
    return file.getvalue()


def pixels_of(data: bytes) -> tuple[np.ndarray, list[str]]:
    with collect_notes() as notes:
        sample = infrared().prepare(infrared().decode(data)).samples[0]
    return sample["pixels"], [note.code for note in notes]


@pytest.mark.parametrize(
    ("dtype", "mark", "stated"),
    [
        ("u2", 0, "0"), ("u2", 65_535, "65535"), ("i2", -9999, "-9999"), ("f4", -9999, "-9999"),
        ("f4", -1e20, "-1e+20"), ("f4", 1e30, "1e+30"), ("f8", -1.5, "-1.5"),
    ],
)  # fmt: skip
def test_pixels_without_data_do_not_count(dtype, mark, stated):
    scene = SCENE // 2 if dtype == "i2" else SCENE
    expected, _ = pixels_of(scene_tiff(np.where(BORDER, np.nan, scene).astype(np.float32)))
    marked = np.where(BORDER, float(mark), scene).astype(dtype)
    found, codes = pixels_of(scene_tiff(marked, stated))
    assert np.array_equal(found, expected)
    assert codes == []


@pytest.mark.parametrize(
    ("dtype", "mark"), [("u2", 0), ("i2", -9999), ("f4", -9999), ("f4", -3.4e38), ("i2", -32768)]
)
def test_usual_marks_that_are_not_stated_do_not_count_either_and_are_noted(dtype, mark):
    scene = SCENE // 2 if dtype == "i2" else SCENE
    expected, _ = pixels_of(scene_tiff(np.where(BORDER, np.nan, scene).astype(np.float32)))
    found, codes = pixels_of(scene_tiff(np.where(BORDER, float(mark), scene).astype(dtype)))
    assert np.array_equal(found, expected)
    assert codes == ["guessed"]


def test_what_the_caller_states_is_applied():
    plain, _ = pixels_of(scene_tiff(SCENE))
    for negative in (65_535 - SCENE, -SCENE.astype(np.float32), -1 - (SCENE // 4).astype(np.int16)):
        with state(InfraredOptions(polarity="black_hot")):
            found, _ = pixels_of(scene_tiff(negative))
        assert np.abs(found.astype(int) - plain).max() <= 1
    marked = np.where(BORDER, 21_500, SCENE).astype(np.uint16)
    with state(InfraredOptions(no_data=21_500)):
        assert np.isnan(infrared().decode(scene_tiff(marked)))[BORDER].all()


@pytest.mark.parametrize("value", [0, 90, 255])
def test_an_even_picture_is_noted(value):
    file = io.BytesIO()
    Image.fromarray(np.full((40, 50), value, np.uint8)).save(file, "PNG")
    assert pixels_of(file.getvalue())[1] == ["empty"]
    noisy = 20_000 + np.arange(2000).reshape(40, 50).astype(np.uint16) % 4
    assert pixels_of(scene_tiff(noisy))[1] == ["empty"]


def test_a_small_warm_spot_on_an_even_ground_is_seen():
    spot = np.full((64, 64), 20_000, np.uint16)
    spot[30:32, 30:32] = 24_000
    pixels, codes = pixels_of(scene_tiff(spot))
    assert codes == []
    assert pixels[30, 30] > 200 > pixels[0, 0] == 0


def test_false_colours_are_noted_and_grey_pictures_are_not():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    rainbow = np.stack([ramp, np.abs(128 - ramp.astype(int)).astype(np.uint8), 255 - ramp], axis=2)
    grey = np.repeat(ramp[..., None], 3, axis=2)
    for kind in ("PNG", "JPEG"):
        for picture, expected in ((rainbow, ["guessed"]), (grey, []), (ramp, [])):
            file = io.BytesIO()
            Image.fromarray(picture).save(file, kind)
            assert pixels_of(file.getvalue())[1] == expected


def test_further_pages_are_noted():
    assert pixels_of(scene_tiff(SCENE, pages=3))[1] == ["ignored"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_raw_picture_of_a_jpeg_is_turned_as_its_rendering(orientation):
    data = radiometric(counts())
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = exif.tobytes()
    if not body.startswith(b"Exif"):
        body = b"Exif\0\0" + body
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    found = infrared().decode(data[:2] + segment + data[2:])
    turned = np.asarray(raster.upright(Image.fromarray(counts()), orientation))
    assert np.array_equal(found, turned)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_png_of_16_bit_channels_is_read_whole(channels):
    values = np.arange(24_000, 24_000 + 64 * 50, dtype=np.uint16).reshape(50, 64)
    planes = [values] * (channels - 1 + channels % 2)
    planes += [] if channels % 2 else [np.full_like(values, 65_535)]
    data = imagecodecs.png_encode(np.dstack(planes))
    np.testing.assert_array_equal(infrared().decode(bytes(data)), values)


def test_a_jpeg_of_12_bits_is_read_whole():
    values = np.arange(0, 64 * 50, dtype=np.uint16).reshape(50, 64)
    data = imagecodecs.jpeg8_encode(values, lossless=True, bitspersample=12)
    np.testing.assert_array_equal(infrared().decode(bytes(data)), values)


def test_a_thumbnail_before_the_thermal_picture_is_passed_over():
    values = np.arange(24_000, 24_000 + 64 * 50, dtype=np.uint16).reshape(50, 64)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(values[::8, ::8], subfiletype=1, metadata=None)
        writer.write(values, photometric="miniswhite", metadata=None)
    np.testing.assert_array_equal(infrared().decode(file.getvalue()), 65_535 - values)
