"""What GDAL writes beside the pixels of a TIFF: the value without data, scales and units.

Format: GDAL, "GTiff -- GeoTIFF File Format", tags 42112 (GDAL_METADATA, XML) and 42113
(GDAL_NODATA, a number as text).
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import numpy as np
import tifffile

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable
from omnivec2.preprocess.formats.measurements.missing_values import usual_mark, without_marks
from omnivec2.preprocess.notes import NoteCode, note

_METADATA_TAG, _NO_DATA_TAG = 42112, 42113
_REDUCED_OR_MASK = 0x1 | 0x4  # bits of NewSubfileType
_MOST_METADATA = 2**20
_ITEM = re.compile(r"<Item\s+([^<>]{0,500})>([^<>]{0,500})</Item>")
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*\"([^\"]*)\"")


@dataclass(frozen=True)
class GdalTags:
    """The tags of a TIFF's first page.

    Attributes:
        no_data: The value of pixels without data, None if none is stated.
        scale: The factor of the first band's values, None if none is stated.
        offset: The number that is added after scaling.
        unit: The unit of scaled values, empty if none is stated.
        wavelengths: The wavelengths of the bands as they are written, empty if none are.
        has_more_pages: Whether a second page follows that is no smaller copy of the first.
    """

    no_data: float | None = None
    scale: float | None = None
    offset: float = 0.0
    unit: str = ""
    wavelengths: tuple[float, ...] = ()
    has_more_pages: bool = False


def read_gdal_tags(data: bytes) -> GdalTags:
    """Read the tags of a TIFF; a file that cannot be read has none.

    Raises:
        InvalidInputError: The value of pixels without data is not a number.
    """
    try:
        with undecodable("TIFF", tifffile.TiffFileError), tifffile.TiffFile(io.BytesIO(data)) as f:
            page = f.pages.first
            texts = [
                str(page.tags[code].value) if code in page.tags else ""
                for code in (_NO_DATA_TAG, _METADATA_TAG)
            ]
            has_more_pages = _has_more_pages(f)
    except UndecodableError:
        return GdalTags()
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
    return GdalTags(
        no_data=_stated_no_data(no_data) if no_data else None,
        scale=_number(roles.get("scale", "")),
        offset=_number(roles.get("offset", "")) or 0.0,
        unit=roles.get("unittype", ""),
        wavelengths=tuple(wave for _, wave in waves),
        has_more_pages=has_more_pages,
    )


def apply_no_data(values: Array, stated: float | None, tags: GdalTags) -> Array:
    """Put NaN where a picture's pixels hold no data.

    Args:
        values: The pixels, of any real type.
        stated: The value that the caller states; it comes before the file's own.
        tags: The tags of the file.

    Returns:
        The pixels, as floating point numbers if any of them is missing.
    """
    mark = stated if stated is not None else tags.no_data
    if mark is not None:
        return without_marks(values, mark)[0]
    mark = usual_mark(values)
    if mark is None:
        return values
    cleaned, count = without_marks(values, mark)
    note(
        NoteCode.GUESSED,
        f"pixels of the value {mark:g} were taken as having no data (nodata), though the file "
        "does not say so; state no_data in the parameters, or write the GDAL_NODATA tag",
        count=count,
    )
    return cleaned


def _has_more_pages(file: tifffile.TiffFile) -> bool:
    try:
        second = file.pages[1]  # the third and all that follow are not read
    except IndexError:
        return False
    return isinstance(second, tifffile.TiffPage) and not second.subfiletype & _REDUCED_OR_MASK


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
