from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from PIL import ImageCms

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.pictures.heif import reader
from omnivec2.preprocess.formats.pictures.heif.reader import read_heif
from omnivec2.preprocess.notes import collect_notes
from omnivec2.spec import Limits
from tests.support.sample_files.heic_files import (
    HeicKind,
    cropped,
    heic,
    mirrored,
    rotated,
    with_profile,
)

Y, X = np.mgrid[:64, :96]
COLOURS = np.stack([2 * X, 3 * Y, 128 + 100 * np.sin(X / 9) * np.cos(Y / 7)], -1).astype(np.uint8)
LIMITS = Limits(pixels=10_000_000)


def read(data: bytes) -> np.ndarray:
    return np.asarray(read_heif(data, LIMITS).pixels).astype(int)


def assert_same(data: bytes, expected: np.ndarray = COLOURS) -> None:
    found = read(data)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 4


@pytest.mark.parametrize(
    "kind",
    [
        HeicKind(),
        HeicKind(is_full_range=False),
        HeicKind(matrix="bt709"),
        HeicKind(matrix="bt709", is_full_range=False, has_nclx=False),
        HeicKind(pixel_format="yuv444p"),
        HeicKind(pixel_format="yuv420p10le", brand=b"heix"),
        HeicKind(tile=(32, 32)),
        HeicKind(tile=(48, 64)),
    ],
    ids=["plain", "limited", "709", "stream's own", "444", "10 bits", "tiles", "cut tiles"],
)
def test_ranges_matrices_depths_and_tiles_give_the_same_picture(kind):
    assert_same(heic(COLOURS, kind))


@pytest.mark.parametrize("tile", [None, (32, 32)])
@pytest.mark.parametrize(
    ("stored", "properties"),
    [
        (np.rot90(COLOURS, -1), [rotated(1)]),
        (np.rot90(COLOURS, -2), [rotated(2)]),
        (np.rot90(COLOURS, -3), [rotated(3)]),
        (COLOURS[::-1], [mirrored(0)]),
        (COLOURS[:, ::-1], [mirrored(1)]),
        (np.rot90(COLOURS[:, ::-1], -1), [rotated(1), mirrored(1)]),
        (np.pad(COLOURS, ((8, 24), (16, 0), (0, 0))), [cropped(96, 64, 8, -8)]),
    ],
    ids=["90", "180", "270", "top to bottom", "left to right", "both", "cropped"],
)
def test_transformations_are_applied_in_their_order(stored, properties, tile):
    assert_same(heic(stored, HeicKind(properties=properties, tile=tile)))


def test_a_profile_is_handed_on():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored = read_heif(heic(COLOURS, HeicKind(properties=[with_profile(profile)])), LIMITS)
    assert stored.profile == profile


def declaring(data: bytes, width: int, height: int) -> bytes:
    at = data.find(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def test_sizes_are_checked_before_anything_is_decoded():
    data = heic(COLOURS)
    with pytest.raises(TooLargeError, match="60,000 x 60,000"):
        read(declaring(data, 60_000, 60_000))
    with pytest.raises(UndecodableError, match="16, 16"):
        read(declaring(data, 16, 16))
    large = heic(np.zeros((2048, 2048, 3), np.uint8))
    with pytest.raises(UndecodableError):  # by the decoder, which is told the declared size
        read(declaring(large, 64, 64))
    with pytest.raises(TooLargeError):
        read_heif(heic(COLOURS, HeicKind(tile=(32, 32))), Limits(pixels=5_000))


@pytest.mark.parametrize("coding", [b"av01", b"unci", b"jpeg"])
def test_other_codings_are_refused_by_name_with_a_way_to_convert(coding):
    with pytest.raises(InvalidInputError, match=f"'{coding.decode()}'.*convert it with"):
        read(heic(COLOURS, HeicKind(coding=coding)))


def test_a_service_without_a_decoder_says_so(monkeypatch):
    monkeypatch.setattr(reader, "find_spec", lambda _: None)
    with pytest.raises(InvalidInputError, match="unsupported: HEIC"):
        read(heic(COLOURS))


def test_colours_of_a_wider_space_are_noted():
    data = heic(COLOURS).replace(b"nclx\0\x01", b"nclx\0\x0c")
    with collect_notes() as notes:
        read(data)
    assert "wider space than sRGB" in next(iter(notes)).text


@pytest.mark.parametrize("missing", [1, 200, 2000])
def test_a_truncated_file_is_undecodable(missing):
    data = heic(COLOURS, HeicKind(tile=(32, 32)))
    with pytest.raises(UndecodableError):
        read(data[:-missing])


@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_damaged_bytes_never_raise_anything_but_input_errors(tile, capfd):
    data = heic(COLOURS, HeicKind(tile=tile))
    generator = np.random.default_rng(0)
    for turn in range(150):
        damaged = np.frombuffer(data, np.uint8).copy()
        end = len(data) if turn % 2 else 700
        where = generator.integers(0, end, generator.integers(1, 20))
        damaged[where] = generator.integers(0, 256, len(where))
        with contextlib.suppress(InputError):
            read(damaged.tobytes())
    assert capfd.readouterr().err == ""


def test_items_that_are_made_from_themselves_are_refused():
    data = heic(COLOURS, HeicKind(tile=(32, 32)))
    endless = data.replace(b"grid", b"iden").replace(
        struct.pack(">HHHHHHHH", 1, 6, 2, 3, 4, 5, 6, 7),
        struct.pack(">HHHHHHHH", 1, 1, 1, 3, 4, 5, 6, 7),
    )
    with pytest.raises((UndecodableError, InvalidInputError)):
        read(endless)
