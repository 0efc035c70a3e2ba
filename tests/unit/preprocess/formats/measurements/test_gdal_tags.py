from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.measurements.gdal_tags import (
    GdalTags,
    apply_no_data,
    read_gdal_tags,
)
from omnivec2.preprocess.notes import collect_notes

PICTURE = np.array([[300, 301], [302, -9999]], np.int16)


def tiff(no_data: str | None = None, metadata: str | None = None, pages: int = 1) -> bytes:
    stream = io.BytesIO()
    tags = [
        (code, "s", 0, text, True)
        for code, text in ((42112, metadata), (42113, no_data))
        if text is not None
    ]
    with tifffile.TiffWriter(stream) as file:
        for _ in range(pages):
            file.write(PICTURE, extratags=tags, metadata=None, contiguous=False)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("text", "value"), [("-9999", -9999), (" -3.40282e+38 ", -3.40282e38), ("0", 0), (None, None)]
)
@pytest.mark.filterwarnings("ignore")
def test_the_value_without_data_is_read(text: str | None, value: float | None) -> None:
    assert read_gdal_tags(tiff(text)).no_data == value


def test_a_value_without_data_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="nodata tag"):
        read_gdal_tags(tiff("none"))


def test_scales_units_and_wavelengths_are_read() -> None:
    items = [
        '<Item name="SCALE" sample="0" role="scale">0.01</Item>',
        '<Item name="OFFSET" sample="0" role="offset">-273.15</Item>',
        '<Item name="UNITTYPE" sample="0" role="unittype">m</Item>',
        '<Item name="SCALE" sample="1" role="scale">5</Item>',
        '<Item name="wavelength" sample="1">500</Item>',
        '<Item name="wavelength" sample="0">400</Item>',
        '<Item name="AREA_OR_POINT">Area</Item>',
    ]
    tags = read_gdal_tags(tiff(metadata=f"<GDALMetadata>{''.join(items)}</GDALMetadata>"))
    assert (tags.scale, tags.offset, tags.unit) == (0.01, -273.15, "m")
    assert tags.wavelengths == (400, 500)


def test_a_second_page_is_seen_unless_it_is_a_smaller_copy() -> None:
    assert not read_gdal_tags(tiff()).has_more_pages
    assert read_gdal_tags(tiff(pages=3)).has_more_pages
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        file.write(PICTURE, metadata=None)
        file.write(PICTURE[:1], subfiletype=1, metadata=None)
    assert not read_gdal_tags(stream.getvalue()).has_more_pages


@pytest.mark.parametrize("data", [b"", b"II*\0", b"no tiff"])
def test_what_is_no_tiff_has_no_tags(data: bytes) -> None:
    assert read_gdal_tags(data) == GdalTags()


def test_stated_values_come_before_the_files_and_both_before_a_guess() -> None:
    picture = np.array([[1, 2], [3, -9999]], np.float32)
    nan = np.isnan
    with collect_notes() as notes:
        assert nan(apply_no_data(picture, 1, GdalTags(no_data=2))).tolist() == [
            [True, False], [False, False],
        ]  # fmt: skip
        assert nan(apply_no_data(picture, None, GdalTags(no_data=2)))[0, 1]
    assert not len(notes)
    with collect_notes() as notes:
        assert nan(apply_no_data(picture, None, GdalTags()))[1, 1]
    assert [note.code for note in notes] == ["guessed"]
    plain = np.array([[1, 2]], np.uint16)
    assert apply_no_data(plain, None, GdalTags()) is plain
