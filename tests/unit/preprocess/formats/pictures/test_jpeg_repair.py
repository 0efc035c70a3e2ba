from __future__ import annotations

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.pictures.jpeg_repair import completed, read_deep_jpeg
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.spec import Limits

Y, X = np.mgrid[:40, :56]
COLOURS = np.stack([4 * X, 6 * Y, 128 + 100 * np.sin(X / 5) * np.cos(Y / 7)], -1).astype(np.uint8)


def jpeg(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(COLOURS).save(file, "JPEG", **options)
    return file.getvalue()


KINDS = [
    {},
    {"progressive": True},
    {"subsampling": 0, "quality": 95},
    {"restart_marker_blocks": 2},
]


@pytest.mark.parametrize("options", KINDS)
def test_a_jpeg_that_lacks_nothing_but_its_end_marker_is_completed_with_a_note(options):
    data = jpeg(**options)
    for missing in (1, 2):
        with collect_notes() as notes:
            assert completed(data[:-missing]) == data
        assert [note.code for note in notes] == [NoteCode.REPAIRED]


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("missing", [20, 100, 600])
def test_a_jpeg_that_lacks_pixels_is_not(options, missing):
    with collect_notes() as notes:
        assert completed(jpeg(**options)[:-missing]) is None
    assert not notes


def test_a_whole_jpeg_and_other_bytes_are_left_alone():
    assert completed(jpeg()) is None
    assert completed(b"\xff\xd8\xff\xe0 and nothing else") is None


@pytest.mark.parametrize("bits", [12, 16])
def test_deep_and_lossless_samples_are_decoded_whole(bits):
    deep = (COLOURS.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
    data = imagecodecs.jpeg8_encode(deep, lossless=True, bitspersample=bits)
    found = read_deep_jpeg(data, Limits())
    assert found is not None
    samples, white = found
    np.testing.assert_array_equal(samples, deep)
    assert white == (1 << bits) - 1


def test_lossy_12_bit_samples_are_decoded():
    deep = (COLOURS.astype(np.uint32) * 4095 // 255).astype(np.uint16)
    data = imagecodecs.jpeg8_encode(deep, level=98, bitspersample=12)
    found = read_deep_jpeg(data, Limits())
    assert found is not None
    samples, white = found
    assert white == 4095
    assert np.abs(samples.astype(int) - deep).mean() < 60


def test_an_ordinary_jpeg_is_none_of_them():
    assert read_deep_jpeg(jpeg(), Limits()) is None
    assert read_deep_jpeg(b"\xff\xd8", Limits()) is None


def test_sizes_are_checked_before_decoding_and_other_codings_are_named():
    deep = imagecodecs.jpeg8_encode(COLOURS.astype(np.uint16), lossless=True, bitspersample=12)
    with pytest.raises(TooLargeError, match="56 x 40 pixels"):
        read_deep_jpeg(deep, Limits(pixels=2_000))
    with pytest.raises(InvalidInputError, match=r"unsupported: a JPEG of 8 bits.*0xF7"):
        read_deep_jpeg(imagecodecs.jpegls_encode(COLOURS), Limits())
    with pytest.raises(UndecodableError):
        read_deep_jpeg(deep[:300], Limits())
