"""What a TIFF says of its picture's pixels: how they lie, marks, scales, units.

Format: Adobe, "TIFF 6.0"; GDAL, "GTiff -- GeoTIFF File Format", tags 42112 (GDAL_METADATA, XML)
and 42113 (GDAL_NODATA, a number as text).
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import numpy as np
import tifffile

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable
from omnivec2.preprocess.formats.pictures.tiff_pages.samples import choose_page
from omnivec2.preprocess.formats.pictures.tiff_pages.segments import check_tags

_ORIENTATION_TAG, _METADATA_TAG, _NO_DATA_TAG = 274, 42112, 42113
_MOST_METADATA = 2**20
_ITEM = re.compile(r"<Item\s+([^<>]{0,500})>([^<>]{0,500})</Item>")
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*\"([^\"]*)\"")


@dataclass(frozen=True)
class TiffTags:
    """The tags of a TIFF's first page that is no thumbnail.

    Attributes:
        no_data: The value of pixels without data, None if none is stated.
        scale: The factor of the first band's values, None if none is stated.
        offset: The number that is added after scaling.
        unit: The unit of scaled values, empty if none is stated.
        wavelengths: The wavelengths of the bands as they are written, empty if none are.
        orientation: The number of the EXIF orientation, 1 to 8.
    """

    no_data: float | None = None
    scale: float | None = None
    offset: float = 0.0
    unit: str = ""
    wavelengths: tuple[float, ...] = ()
    orientation: int = 1


def read_tiff_tags(data: bytes) -> TiffTags:
    """Read the tags of a TIFF; a file that cannot be read has none.

    Raises:
        InvalidInputError: The value of pixels without data is not a number, or there are far too
            many tags.
    """
    check_tags(data)
    try:
        with undecodable("TIFF", tifffile.TiffFileError), tifffile.TiffFile(io.BytesIO(data)) as f:
            return tags_of(choose_page(f)[0])
    except UndecodableError:
        return TiffTags()


def tags_of(page: tifffile.TiffPage) -> TiffTags:
    """Return the tags of a page of an open file.

    Raises:
        InvalidInputError: The value of pixels without data is not a number.
    """
    texts = [
        str(page.tags[code].value) if code in page.tags else ""
        for code in (_NO_DATA_TAG, _METADATA_TAG)
    ]
    orientation = page.tags.valueof(_ORIENTATION_TAG, 1)
    no_data, metadata = texts[0].strip(" \0\r\n\t"), texts[1][:_MOST_METADATA]
    items = [(dict(_ATTRIBUTE.findall(a)), t.strip()) for a, t in _ITEM.findall(metadata)]
    roles = {a["role"]: text for a, text in items if "role" in a and a.get("sample", "0") == "0"}
    # One item per band, written in any order: <Item name="wavelength" sample="3">
    waves = sorted(
        (int(a["sample"]), _number(text) or np.nan)
        for a, text in items
        if a.get("name", "").lower() in ("wavelength", "central_wavelength", "center_wavelength")
        and a.get("sample", "").isdecimal()
    )
    return TiffTags(
        no_data=_stated_no_data(no_data) if no_data else None,
        scale=_number(roles.get("scale", "")),
        offset=_number(roles.get("offset", "")) or 0.0,
        unit=roles.get("unittype", ""),
        wavelengths=tuple(wave for _, wave in waves),
        orientation=orientation if orientation in range(1, 9) else 1,
    )


def _stated_no_data(text: str) -> float:
    value = _number(text)
    if value is None:
        raise InvalidInputError(
            f"expected a number in the TIFF's nodata tag (GDAL_NODATA), got {text[:40]!r}",
            field="inputs",
        )
    return value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
