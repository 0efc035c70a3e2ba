from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.formats.measurements.tiff_meaning import (
    apply_no_data,
    brighter_higher,
    upright,
)
from omnivec2.preprocess.formats.measurements.tiff_tags import TiffTags
from omnivec2.preprocess.notes import collect_notes

RAMP = np.arange(256, dtype=np.uint16) * 257


def test_stated_values_come_before_the_files_and_both_before_a_guess() -> None:
    picture = np.array([[1, 2], [3, -9999]], np.float32)
    nan = np.isnan
    with collect_notes() as notes:
        assert nan(apply_no_data(picture, 1, TiffTags(no_data=2))).tolist() == [
            [True, False], [False, False],
        ]  # fmt: skip
        assert nan(apply_no_data(picture, None, TiffTags(no_data=2)))[0, 1]
    assert not len(notes)
    with collect_notes() as notes:
        assert nan(apply_no_data(picture, None, TiffTags()))[1, 1]
    assert [note.code for note in notes] == ["guessed"]
    plain = np.array([[1, 2]], np.uint16)
    assert apply_no_data(plain, None, TiffTags()) is plain


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", ">u2"])
def test_values_whose_zero_is_white_are_turned_round(dtype: str) -> None:
    values = np.array([[1, 2], [3, 4]], dtype)
    turned = brighter_higher(values, TiffTags(white_is_zero=True))
    assert turned.dtype.kind == values.dtype.kind
    assert np.argsort(turned.ravel().astype(float)).tolist() == [3, 2, 1, 0]
    assert brighter_higher(values, TiffTags()) is values


def test_indices_become_the_brightness_of_their_colours() -> None:
    rng = np.random.default_rng(3)
    colours = rng.integers(0, 256, (3, 256)).astype(np.uint16)
    indices = rng.integers(0, 256, (9, 7)).astype(np.uint8)
    picture = Image.fromarray(colours.astype(np.uint8).T[indices])
    for palette in (colours * 257, colours):
        with collect_notes() as notes:
            grey = brighter_higher(indices, TiffTags(palette=palette))
        np.testing.assert_array_equal(grey, np.asarray(picture.convert("L")))
        assert [note.code for note in notes] == ["guessed"]
    reversed_greys = np.stack([RAMP[::-1]] * 3)
    with collect_notes() as notes:
        grey = brighter_higher(indices, TiffTags(palette=reversed_greys))
    np.testing.assert_array_equal(grey, 255 - indices)
    assert not len(notes)


def test_indices_outside_of_the_palette_are_refused() -> None:
    tags = TiffTags(palette=np.zeros((3, 16), np.uint16))
    with pytest.raises(UndecodableError, match="outside of its palette"):
        brighter_higher(np.array([[16]], np.uint8), tags)
    with pytest.raises(UndecodableError, match="no palette"):
        brighter_higher(np.array([[0.5]]), tags)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_pillow_turns_them(orientation: int) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    transposes = [
        None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90,
    ]  # fmt: skip
    how = transposes[orientation - 1]
    picture = Image.fromarray(values)
    expected = np.asarray(picture if how is None else picture.transpose(how))
    tags = TiffTags(orientation=orientation)
    np.testing.assert_array_equal(upright(values, tags), expected)
    np.testing.assert_array_equal(upright(np.stack([values, values]), tags)[1], expected)
