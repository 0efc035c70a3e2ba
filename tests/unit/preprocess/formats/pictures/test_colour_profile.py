from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from omnivec2.preprocess.formats.pictures import colour_profile
from omnivec2.preprocess.formats.pictures.colour_profile import convert_to_srgb
from omnivec2.preprocess.notes import NoteCode, collect_notes

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
Y, X = np.mgrid[:32, :48]
COLOURS = np.stack([5 * X, 7 * Y, 200 - 2 * X - 2 * Y], axis=-1).astype(np.uint8)
PICTURE = Image.fromarray(COLOURS)


def matrix_profile(*primaries: tuple[float, float, float], gamma: float = 2.2) -> bytes:
    """An ICC profile of three primaries in the connection space and a gamma."""

    def s15(value: float) -> bytes:
        return round(value * 65536).to_bytes(4, "big", signed=True)

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(s15, values))

    curve = b"curv\0\0\0\0\0\0\0\x01" + round(gamma * 256).to_bytes(2) + b"\0\0"
    name = b"desc\0\0\0\0\0\0\0\x05test\0" + bytes(78 + 1)
    tags = {
        b"desc": name, b"cprt": b"text\0\0\0\0none", b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        b"rXYZ": xyz(primaries[0]), b"gXYZ": xyz(primaries[1]), b"bXYZ": xyz(primaries[2]),
        b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for key, content in tags.items():
        value = content + bytes(-len(content) % 4)
        table += key + (start + len(body)).to_bytes(4) + len(value).to_bytes(4)
        body += value
    head = (
        bytes(4) + bytes(4) + bytes.fromhex("02400000") + b"mntrRGB XYZ " + bytes(12) + b"acsp"
        + bytes(28) + s15(0.9642) + s15(1.0) + s15(0.8249) + bytes(48)
    )  # fmt: skip
    size = (len(head) + 4 + len(table) + len(body)).to_bytes(4)
    return size + head[4:] + len(tags).to_bytes(4) + table + body


WIDE = matrix_profile(
    (0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249), gamma=1.8
)


def test_pictures_in_srgb_or_without_a_profile_stay_the_same_object():
    for profile in (None, b"", SRGB):
        assert convert_to_srgb(PICTURE, profile) is PICTURE


def test_wide_colours_come_back_as_they_were():
    source = ImageCms.ImageCmsProfile(io.BytesIO(WIDE))
    wide = ImageCms.profileToProfile(PICTURE, ImageCms.createProfile("sRGB"), source)
    assert np.abs(np.asarray(wide).astype(int) - COLOURS).mean() > 10
    back = convert_to_srgb(wide, WIDE)
    assert np.abs(np.asarray(back).astype(int) - COLOURS).mean() < 3


def test_transparency_is_kept():
    see_through = PICTURE.copy()
    see_through.putalpha(77)
    found = convert_to_srgb(see_through, WIDE)
    assert found.mode == "RGBA"
    assert found.getchannel("A").getextrema() == (77, 77)
    assert np.array_equal(
        np.asarray(found.convert("RGB")), np.asarray(convert_to_srgb(PICTURE, WIDE))
    )


def test_a_grey_picture_with_a_profile_of_colours_is_converted_as_grey_colours():
    grey = PICTURE.convert("L")
    assert convert_to_srgb(grey, SRGB) is grey
    found = np.asarray(convert_to_srgb(grey, WIDE)).astype(int)
    expected = np.asarray(convert_to_srgb(grey.convert("RGB"), WIDE))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("mode", "profile", "reason"),
    [
        ("RGB", b"no profile", "damaged"),
        ("RGB", SRGB[:200], "damaged"),
        ("CMYK", SRGB, "for RGB colours"),
        ("RGB", bytes(5 * 2**20), "too large"),
    ],
)
def test_a_profile_that_cannot_be_used_is_a_note(mode, profile, reason):
    picture = PICTURE.convert(mode)
    with collect_notes() as notes:
        assert convert_to_srgb(picture, profile) is picture
    (note,) = notes
    assert note.code == NoteCode.IGNORED
    assert reason in note.text


def test_damaged_profiles_never_raise():
    generator = np.random.default_rng(0)
    for _ in range(200):
        data = np.frombuffer(WIDE, np.uint8).copy()
        where = generator.integers(0, len(data), generator.integers(1, 20))
        data[where] = generator.integers(0, 256, len(where))
        convert_to_srgb(PICTURE, data.tobytes())
    assert colour_profile._transform.cache_info().currsize <= 8
