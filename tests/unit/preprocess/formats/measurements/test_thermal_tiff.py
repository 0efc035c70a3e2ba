from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess.formats.measurements.thermal_tiff import (
    apply_no_data,
    hide,
    note_false_colours,
    read_thermal_tiff,
)
from omnivec2.preprocess.notes import collect_notes
from omnivec2.spec import Limits

SCENE = (np.hypot(*np.mgrid[-20:22, -30:30]) * 50 + 21_000).astype(np.uint16)
BORDER = np.mgrid[:42, :60][1] < 9
RAMP = np.arange(256, dtype=np.uint16) * 257


def read(
    array: np.ndarray, no_data: float | None = None, **options
) -> tuple[np.ndarray, list[str]]:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **{"photometric": "minisblack", "metadata": None, **options})
    with collect_notes() as notes:
        values = read_thermal_tiff(stream.getvalue(), Limits(), no_data)
    return values, [note.code for note in notes]


def test_stated_marks_come_before_a_guess() -> None:
    picture = np.array([[1, 2], [3, -9999]], np.float32)
    with collect_notes() as notes:
        assert np.isnan(apply_no_data(picture, 1)).tolist() == [[True, False], [False, False]]
    assert not len(notes)
    with collect_notes() as notes:
        assert np.isnan(apply_no_data(picture, None)).tolist() == [[False, False], [False, True]]
    assert [note.code for note in notes] == ["guessed"]
    plain = np.array([[1, 2]], np.uint16)
    assert apply_no_data(plain, None) is plain
    assert hide(plain, None) is hide(plain, plain == 7) is plain


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize(
    ("dtype", "mark"), [("u2", 0), ("u2", 65_535), ("f4", -9999), ("f4", 1e30), ("i4", -9999)]
)
def test_marks_are_stored_values_whatever_zero_means(
    dtype: str, mark: float, photometric: str
) -> None:
    marked = np.where(BORDER, mark, SCENE.astype(float)).astype(dtype)
    tag = [(42113, "s", 0, str(mark), True)]
    found, notes = read(marked, photometric=photometric, extratags=tag)
    np.testing.assert_array_equal(np.isnan(found), BORDER)
    rises = found[21, 59] > found[21, 30]
    assert rises == (photometric == "minisblack")
    assert notes == []
    np.testing.assert_array_equal(np.isnan(read(marked, mark, photometric=photometric)[0]), BORDER)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_missing_pixels_are_turned_with_the_picture(orientation: int) -> None:
    turned = {
        1: SCENE, 2: SCENE[:, ::-1], 3: SCENE[::-1, ::-1], 4: SCENE[::-1], 5: SCENE.T,
        6: SCENE.T[::-1], 7: SCENE[::-1, ::-1].T, 8: SCENE.T[:, ::-1],
    }[orientation]  # fmt: skip
    tags = [(274, "H", 1, orientation, True), (42113, "s", 0, str(SCENE[0, 0]), True)]
    found, _ = read(np.ascontiguousarray(turned), extratags=tags)
    expected = np.where(SCENE[0, 0] == SCENE, np.nan, SCENE).astype(np.float32)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_pixels_have_no_data(dtype: str, channels: int) -> None:
    grey = (SCENE >> 8).astype(dtype)
    alpha = np.where(BORDER, 0, 255).astype(dtype)
    planes = np.stack([grey] * channels + [alpha], axis=-1)
    options = {"photometric": "minisblack" if channels == 1 else "rgb", "planarconfig": "contig"}
    found, notes = read(planes, extrasamples=["unassalpha"], **options)
    np.testing.assert_allclose(found, np.where(BORDER, np.nan, grey), atol=1)
    assert notes == []


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_colours_become_their_brightness_at_full_depth_with_a_note(dtype: str) -> None:
    grey = (SCENE if dtype == "u2" else SCENE % 256).astype(dtype)
    found, notes = read(np.stack([grey] * 3, axis=-1), photometric="rgb")
    np.testing.assert_array_equal(found, grey)
    assert notes == []
    rainbow = np.stack([grey, np.iinfo(dtype).max - grey, grey // 2], axis=-1)
    found, notes = read(rainbow, photometric="rgb")
    assert found.dtype == dtype
    assert notes == ["guessed"]


def test_indices_become_the_brightness_of_their_colours() -> None:
    rng = np.random.default_rng(3)
    colours = rng.integers(0, 256, (3, 256)).astype(np.uint16)
    indices = rng.integers(0, 256, (9, 7)).astype(np.uint8)
    picture = Image.fromarray(colours.astype(np.uint8).T[indices])
    found, notes = read(indices, photometric="palette", colormap=colours * 257)
    np.testing.assert_array_equal(found, np.asarray(picture.convert("L")))
    assert notes == ["guessed"]
    greys = np.stack([RAMP[::-1]] * 3)
    found, notes = read(indices, photometric="palette", colormap=greys)
    np.testing.assert_array_equal(found, 255 - indices)
    assert notes == []


def test_other_colour_spaces_and_too_many_pixels_are_refused() -> None:
    cmyk = np.zeros((8, 8, 4), np.uint8)
    with pytest.raises(InvalidInputError, match="grey or RGB"):
        read(cmyk, photometric="separated")
    stream = io.BytesIO()
    tifffile.imwrite(stream, SCENE)
    with pytest.raises(TooLargeError, match="pixels"):
        read_thermal_tiff(stream.getvalue(), Limits(pixels=100), None)


def test_a_tint_is_no_false_colour() -> None:
    grey = np.repeat(np.arange(256.0)[None, :, None], 3, axis=2)
    for factor, expected in ((0.95, []), (0.3, ["guessed"])):
        with collect_notes() as notes:
            note_false_colours(grey * np.array([1, 1, factor]), 255)
        assert [note.code for note in notes] == expected
