from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.measurements.tiff_tags import read_tiff_tags

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
    assert read_tiff_tags(tiff(text)).no_data == value


def test_a_value_without_data_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="nodata tag"):
        read_tiff_tags(tiff("none"))


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
    tags = read_tiff_tags(tiff(metadata=f"<GDALMetadata>{''.join(items)}</GDALMetadata>"))
    assert (tags.scale, tags.offset, tags.unit) == (0.01, -273.15, "m")
    assert tags.wavelengths == (400, 500)


@pytest.mark.parametrize("data", [b"", b"II*\0", b"no tiff"])
def test_what_is_no_tiff_has_no_tags(data: bytes) -> None:
    tags = read_tiff_tags(data)
    assert (tags.no_data, tags.scale, tags.orientation) == (None, None, 1)


@pytest.mark.parametrize("orientation", [0, 1, 6, 8, 9])
def test_the_orientation_is_read_if_there_is_such_a_one(orientation: int) -> None:
    stream = io.BytesIO()
    tifffile.imwrite(
        stream, PICTURE, metadata=None, extratags=[(274, "H", 1, orientation, True)]
    )  # fmt: skip
    expected = orientation if orientation in range(1, 9) else 1
    assert read_tiff_tags(stream.getvalue()).orientation == expected
