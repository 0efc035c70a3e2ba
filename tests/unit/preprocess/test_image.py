from __future__ import annotations

import base64
import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import preprocessor_type
from omnivec2.preprocess.image import ImageParameters, ImagePreprocessor
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits, Modality
from tests.support.sample_files.heic_files import heic

DATA = Path(__file__).parents[2] / "data" / "image"
FILES = {
    "blood_smear.jpg": "image/jpeg",
    "blood_smear.png": "image/png",
    "blood_smear.webp": "image/webp",
    "blood_smear.tiff": "image/tiff",
    "blood_smear.gif": "image/gif",
    "blood_smear.bmp": "image/bmp",
}


def image(limits: Limits | None = None, **parameters) -> ImagePreprocessor:
    return ImagePreprocessor(ImageParameters(**parameters), limits)


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def pixels(data: bytes, **parameters) -> np.ndarray:
    preprocessor = image(**parameters)
    return preprocessor.prepare(preprocessor.decode(data)).samples[0]["pixels"]


def gradient(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    channels = [255 * x / width, 255 * y / height, 128 + 0 * x]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


def png_claiming(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(("name", "media_type"), FILES.items())
def test_every_accepted_format_is_detected_and_read(name, media_type):
    data = (DATA / name).read_bytes()
    preprocessor = image()
    assert preprocessor.sniff(data) == media_type
    for declared in (media_type, None):
        prepared = preprocessor.prepare(preprocessor.decode(data, declared))
        (sample,) = prepared.samples
        assert sample["pixels"].shape == preprocessor.inputs[0].shape == (96, 96, 3)
        assert sample["pixels"].dtype == np.uint8
        with Image.open(io.BytesIO(data)) as original:
            assert prepared.context == {"size": original.size}


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith("bmp")])
def test_all_formats_of_one_picture_give_nearly_the_same_pixels(name):
    reference = pixels((DATA / "blood_smear.jpg").read_bytes(), height=30, width=40).astype(int)
    found = pixels((DATA / name).read_bytes(), height=30, width=40)
    assert np.abs(found - reference).mean() < 6


def test_exif_orientation_is_applied():
    preprocessor = image(height=60, width=80)
    sideways = preprocessor.decode((DATA / "blood_smear_sideways.jpg").read_bytes())
    straight = preprocessor.decode((DATA / "blood_smear.jpg").read_bytes())
    assert sideways.size == straight.size == (320, 240)
    turned, reference = (preprocessor.prepare(x).samples[0]["pixels"] for x in (sideways, straight))
    assert np.abs(turned.astype(int) - reference).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_exif_orientation_is_turned_upright_in_every_format(kind, orientation):
    upright = gradient(64, 32)
    turns = {
        1: (),
        2: (Image.Transpose.FLIP_LEFT_RIGHT,),
        3: (Image.Transpose.ROTATE_180,),
        4: (Image.Transpose.FLIP_TOP_BOTTOM,),
        5: (Image.Transpose.TRANSPOSE,),
        6: (Image.Transpose.ROTATE_90,),
        7: (Image.Transpose.TRANSVERSE,),
        8: (Image.Transpose.ROTATE_270,),
    }
    stored = upright
    for turn in turns[orientation]:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    preprocessor = image(height=32, width=64)
    picture = preprocessor.decode(encoded(stored, kind, exif=exif))
    assert picture.size == (64, 32)
    found = preprocessor.prepare(picture).samples[0]["pixels"].astype(int)
    assert np.abs(found - np.asarray(upright)).mean() < 6


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow says so in passing
def test_damaged_exif_is_ignored():
    data = encoded(gradient(64, 32), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert image().decode(data).size == (64, 32)


def test_crop_keeps_the_middle_and_keeps_proportions():
    wide = np.zeros((32, 96, 3), dtype=np.uint8)
    wide[:, 32:64] = 255
    found = image(height=32, width=32).prepare(wide).samples[0]["pixels"]
    assert found.min() == 255


def test_stretch_keeps_everything():
    wide = np.zeros((32, 96, 3), dtype=np.uint8)
    wide[:, 48:] = 255
    found = image(height=32, width=32, resize="stretch").prepare(wide).samples[0]["pixels"]
    assert found[:, :14].max() == 0
    assert found[:, 18:].min() == 255


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size_with_nearly_the_same_result():
    picture = gradient(1600, 1200)
    preprocessor = image()
    decoded = preprocessor.decode(encoded(picture, "JPEG", quality=95))
    assert decoded.pixels.size == (200, 150)
    assert decoded.size == (1600, 1200)
    found = preprocessor.prepare(decoded).samples[0]["pixels"].astype(int)
    assert np.abs(found - preprocessor.prepare(picture).samples[0]["pixels"]).max() < 5


def test_arrays_and_pictures_are_prepared_equally():
    picture = gradient(50, 40)
    from_picture = image().prepare(picture)
    from_array = image().prepare(np.asarray(picture))
    assert np.array_equal(from_picture.samples[0]["pixels"], from_array.samples[0]["pixels"])
    assert from_picture.context == from_array.context == {"size": (50, 40)}


def test_preparing_again_gives_the_same_array_and_it_can_be_written_to():
    first, second = (image().prepare(gradient(50, 40)).samples[0]["pixels"] for _ in range(2))
    assert np.array_equal(first, second)
    first[...] = 0


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
        ("LA", (100, 255), (100, 100, 100)),
        ("LA", (0, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("I;16", 40_000, (156, 156, 156)),
    ],
)
def test_every_kind_of_png_becomes_rgb_on_white(mode, value, expected):
    found = pixels(encoded(Image.new(mode, (9, 9), value)))
    assert found.reshape(-1, 3).min(axis=0).tolist() == list(expected)
    assert found.reshape(-1, 3).max(axis=0).tolist() == list(expected)


def test_a_palette_with_a_see_through_entry_becomes_white_there():
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([200, 0, 0, 0, 200, 0])
    picture.paste(1, (4, 0, 8, 8))
    found = pixels(encoded(picture, transparency=0), height=8, width=8)
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, 7].tolist() == [0, 200, 0]


def test_cmyk_jpegs_are_read():
    found = pixels(encoded(gradient(32, 32).convert("CMYK"), "JPEG", quality=95))
    reference = image().prepare(gradient(32, 32)).samples[0]["pixels"].astype(int)
    assert np.abs(found - reference).mean() < 6


def test_floating_point_tiff_is_stretched_over_its_range():
    values = np.linspace(-3, 7, 64, dtype=np.float32).reshape(8, 8)
    found = pixels(encoded(Image.fromarray(values), "TIFF"), height=8, width=8)
    assert (found.min(), found.max()) == (0, 255)


def test_the_colours_of_a_lab_tiff_are_converted():
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    picture = gradient(32, 32)
    lab = ImageCms.applyTransform(picture, to_lab)
    found = pixels(encoded(lab, "TIFF"), height=32, width=32).astype(int)
    assert np.abs(found - np.asarray(picture)).mean() < 4


def test_json_may_be_base64_with_or_without_a_data_url():
    text = base64.b64encode((DATA / "blood_smear.png").read_bytes()).decode()
    preprocessor = image()
    assert preprocessor.decode_json(text).size == (80, 60)
    assert preprocessor.decode_json(f"data:image/png;base64,{text}").size == (80, 60)
    with pytest.raises(InvalidInputError, match="base64 string holding JPEG"):
        preprocessor.decode_json({"image": 1})


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith("gif")])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_refused_as_undecodable(name, share):
    data = (DATA / name).read_bytes()
    with pytest.raises(UndecodableError):
        image().decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("data", [b"", b"hello, no picture", bytes(500), b"\xff\xd8\xff", b"BM"])
def test_bytes_that_are_no_picture_are_refused_as_undecodable(data):
    with pytest.raises(UndecodableError):
        image().decode(data)


def test_a_picture_that_is_declared_as_another_format_is_read_with_a_note():
    data = (DATA / "blood_smear.png").read_bytes()
    with collect_notes() as notes:
        assert image().decode(data, "image/jpeg").size == (80, 60)
    (note,) = notes
    assert note.code == NoteCode.GUESSED
    assert "declared as JPEG, but the bytes are PNG" in note.text
    with pytest.raises(UnsupportedMediaTypeError, match="text/csv"):
        image().decode(data, "text/csv")


@pytest.mark.parametrize("side", [7_100, 9_500, 12_000, 100_000])
def test_a_bomb_is_refused_by_its_header_and_names_the_limit(side):
    with pytest.raises(TooLargeError, match=r"limit \(pixels\).*50,000,000"):
        image().decode(png_claiming(side, side))


def test_jpeg_webp_gif_and_tiff_bombs_are_refused_by_their_headers():
    jpeg = bytearray((DATA / "blood_smear.jpg").read_bytes())
    frame = jpeg.find(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    gif = b"GIF89a\xff\xff\xff\xff" + (DATA / "blood_smear.gif").read_bytes()[10:]
    webp = b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + bytes(21)
    webp = b"WEBPVP8L" + struct.pack("<I", len(webp)) + webp
    webp = b"RIFF" + struct.pack("<I", len(webp)) + webp
    for bomb in (bytes(jpeg), gif, webp):
        with pytest.raises(TooLargeError, match="pixels"):
            image().decode(bomb)


def test_limits_of_a_head_spec_are_kept():
    with pytest.raises(TooLargeError, match="80 x 60 pixels"):
        image(Limits(pixels=4_000)).decode((DATA / "blood_smear.png").read_bytes())
    with pytest.raises(TooLargeError):
        image(Limits(bytes=100)).decode_json("A" * 1000)


def test_a_jpeg_with_endless_scans_is_refused_before_decoding():
    data = encoded(gradient(256, 256), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    with pytest.raises(TooLargeError, match="scans"):
        image().decode(data[:last] + data[last:-2] * 200 + b"\xff\xd9")
    assert image().decode(data).size == (256, 256)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), dtype=np.float32),
        np.zeros((4, 4, 2), dtype=np.uint8),
        np.zeros((0, 4, 3), dtype=np.uint8),
        np.zeros(4, dtype=np.uint8),
    ],
)
def test_arrays_that_are_no_pictures_are_invalid(array):
    with pytest.raises(InvalidInputError):
        image().prepare(array)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.linspace(0, 16, 64).reshape(8, 8), "of 0 to 16; scale black to 0 and white to 255"),
        (np.array([[np.nan, 0.5], [1.0, 0.0]]), "of 0 to 1; scale"),
        (np.full((2, 2), np.nan), r"got float64 \(2, 2\)$"),
    ],
)
def test_pixels_that_are_no_bytes_are_refused_with_their_range(array, said):
    with pytest.raises(InvalidInputError, match=said):
        image().prepare(array)


@pytest.mark.parametrize("name", FILES)
def test_damaged_bytes_never_raise_anything_but_input_errors(name):
    original = (DATA / name).read_bytes()
    generator = np.random.default_rng(0)
    preprocessor = image()
    for _ in range(40):
        data = np.frombuffer(original, dtype=np.uint8).copy()
        where = generator.integers(0, len(data), generator.integers(1, 30))
        data[where] = generator.integers(0, 256, len(where))
        with contextlib.suppress(InputError):
            preprocessor.prepare(preprocessor.decode(data.tobytes()))


def test_the_registry_finds_it():
    assert preprocessor_type(Modality.IMAGE) is ImagePreprocessor


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (12, 200, 99)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_an_even_picture_is_answered_with_a_note(colour, kind):
    with collect_notes() as notes:
        options = {"lossless": True} if kind == "WEBP" else {}
        pixels(encoded(Image.new("RGB", (40, 30), colour), kind, **options))
    assert [note.code for note in notes] == [NoteCode.EMPTY]
    assert "even colour" in next(iter(notes)).text


def test_a_picture_that_is_even_but_for_a_spot_is_not_empty():
    picture = Image.new("RGB", (96, 96), (200, 200, 200))
    picture.paste((0, 0, 0), (70, 10, 80, 20))
    with collect_notes() as notes:
        pixels(encoded(picture))
    assert not notes


def test_the_colours_of_a_profile_are_converted_also_those_for_printing():
    lab = ImageCms.createProfile("LAB")
    swapped = ImageCms.ImageCmsProfile(lab).tobytes()
    with collect_notes() as notes:
        found = pixels(encoded(gradient(32, 32), icc_profile=swapped), height=32, width=32)
    np.testing.assert_array_equal(found, np.asarray(gradient(32, 32)))
    assert "for Lab colours" in next(iter(notes)).text
    cmyk = encoded(gradient(32, 32).convert("CMYK"), "JPEG", quality=95, icc_profile=b"broken")
    with collect_notes() as notes:
        found = pixels(cmyk, height=32, width=32)
    assert np.abs(found.astype(int) - np.asarray(gradient(32, 32))).mean() < 6
    assert "is damaged" in next(iter(notes)).text


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_pictures_of_phones_are_detected_and_read(kind):
    if kind == "HEIC":
        data = heic(np.asarray(gradient(64, 48)))
    else:
        data = encoded(gradient(64, 48), "AVIF", quality=95)
    preprocessor = image(height=48, width=64)
    assert preprocessor.sniff(data) == f"image/{kind.lower()}"
    for declared in (None, f"image/{kind.lower()}", "image/jpeg"):
        found = preprocessor.prepare(preprocessor.decode(data, declared)).samples[0]["pixels"]
        assert np.abs(found.astype(int) - np.asarray(gradient(64, 48))).mean() < 4
