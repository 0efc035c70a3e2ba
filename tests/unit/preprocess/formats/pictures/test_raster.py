from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.spec import Limits


def encode(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_formats_are_detected_by_their_first_bytes(kind):
    assert raster.sniff(encode(Image.new("RGB", (4, 4)), kind)) == f"image/{kind.lower()}"


def test_other_bytes_are_no_picture():
    assert raster.sniff(b"RIFF\0\0\0\0WAVE") is None
    assert raster.sniff(b"") is None


def test_opening_checks_the_declared_size_and_decodes_nothing():
    data = encode(Image.effect_noise((40, 30), 50))
    picture = raster.open_picture(data[:60], "PNG", Limits(pixels=1_200))
    assert picture.size == (40, 30)
    with pytest.raises(TooLargeError, match="40 x 30 pixels"):
        raster.open_picture(data, "PNG", Limits(pixels=1_199))
    with pytest.raises(UndecodableError, match="damaged or truncated"):
        raster.load(picture, "PNG")


def test_a_picture_that_pillow_considers_a_bomb_is_too_large(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(TooLargeError, match=r"limit \(pixels\) of 20"):
        raster.open_picture(encode(Image.new("L", (8, 8))), "PNG", Limits())


def test_a_bomb_that_shows_only_while_decoding_is_undecodable(monkeypatch):
    def explode(self: Image.Image) -> None:
        raise Image.DecompressionBombError

    picture = raster.open_picture(encode(Image.new("L", (8, 8))), "PNG", Limits())
    monkeypatch.setattr(type(picture), "load", explode)
    with pytest.raises(UndecodableError, match="disagrees with its header"):
        raster.load(picture, "PNG")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(orientation):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.open(io.BytesIO(encode(picture, "PNG", exif=exif)))
    assert raster.orientation_of(stored) == orientation
    turned = raster.upright(stored, orientation)
    assert turned.size == raster.upright_size(stored.size, orientation)
    turned_back = {6: np.rot90(pixels, -1), 8: np.rot90(pixels), 3: np.rot90(pixels, 2)}
    if orientation in turned_back:
        np.testing.assert_array_equal(np.asarray(turned), turned_back[orientation])


def test_an_orientation_out_of_range_counts_as_none():
    exif = Image.Exif()
    exif[0x0112] = 77
    stored = Image.open(io.BytesIO(encode(Image.new("L", (2, 2)), "PNG", exif=exif)))
    assert raster.orientation_of(stored) == 1


def test_values_are_scaled_clipped_and_nan_becomes_zero():
    values = np.array([-5.0, 0.0, 5.0, 10.0, 99.0, np.nan], np.float32)
    assert raster.scale_to_uint8(values, 0, 10).tolist() == [0, 0, 128, 255, 255, 0]
    assert raster.scale_to_uint8(values, 3, 3).tolist() == [0] * 6


def test_large_integer_pictures_are_scaled_by_a_table_with_the_same_result():
    values = np.arange(70_000, dtype=np.uint32).astype(np.uint16)
    expected = raster.scale_to_uint8(values.astype(np.float64), 100, 60_000)
    np.testing.assert_array_equal(raster.scale_to_uint8(values, 100, 60_000), expected)


def test_a_picture_without_a_finite_value_is_invalid():
    with pytest.raises(InvalidInputError, match="no finite value"):
        raster.stretch_to_uint8(np.full((2, 2), np.nan))


def test_a_crop_keeps_the_middle_and_a_stretch_everything():
    pixels = np.zeros((32, 96), np.uint8)
    pixels[:, 32:64] = 255
    picture = Image.fromarray(pixels)
    assert np.asarray(raster.resize(picture, (32, 32), "crop")).min() == 255
    assert np.asarray(raster.resize(picture, (33, 33), "stretch"))[:, 0].max() == 0
    assert raster.resize(picture, (96, 32), "stretch") is picture
