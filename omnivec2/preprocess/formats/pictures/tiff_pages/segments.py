"""Checks of a TIFF page before its pixels are decoded: sizes, compression, compressed streams.

A strip or tile may hold a codestream with a size of its own (JPEG, JPEG 2000, PNG, WebP, LERC),
which its decoder relies on. It is compared with the strip's or tile's size; kinds whose size
cannot be read are refused.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import tifffile

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.guards.decoding_guard import check_pixels
from omnivec2.preprocess.formats.pictures.codestream import check_scans, declared_size
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

MAX_TAGS = 512
"""The most tags of a page; cameras and microscopes write a hundred or so."""

_HOW_TO_CONVERT = "convert it with: gdal_translate -co COMPRESS=DEFLATE INPUT output.tif"
_LERC_START, _LERC_VERSION_BYTES = b"Lerc2 ", 10
_LERC_WITH_CHECKSUM, _LERC_WITH_DEPTH = 3, 4

# Coded as a stream of bytes, which is decoded into a buffer of the declared size.
_BYTE_CODINGS = frozenset({
    1,      # none
    2, 3, 4,  # CCITT
    5,      # LZW
    8, 32946, 50013,  # deflate
    32773,  # PackBits
    34925,  # LZMA
    34926, 50000,  # Zstandard
})  # fmt: skip


def check_tags(data: bytes) -> None:
    """Refuse a TIFF whose first page has more tags than :data:`MAX_TAGS`; readers walk over all.

    Raises:
        InvalidInputError: there are more.
    """
    order = "<" if data.startswith(b"II") else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    try:
        (offset,) = struct.unpack_from(f"{order}{'8xQ' if is_big else '4xI'}", data)
        (count,) = struct.unpack_from(f"{order}{'Q' if is_big else 'H'}", data, offset)
    except struct.error:
        return  # damaged, as its reader will say
    if count > MAX_TAGS:
        raise InvalidInputError(
            f"the TIFF declares {count:,} tags, the limit (tags) is {MAX_TAGS}", field="inputs"
        )


def check_page(page: tifffile.TiffPage, data: bytes, limits: Limits) -> None:
    """Compare what a page declares with the limits, the file and its own codestreams.

    Args:
        page: The page.
        data: The whole file.
        limits: The limits on ``pixels`` and ``decoded_bytes``.

    Raises:
        InvalidInputError: the compression or the type of the samples is not supported.
        TooLargeError: a declared size is over its limit.
        UndecodableError: pixels lie beyond the end of the file, or a strip or tile holds a
            larger picture than it should.
    """
    check_pixels(page.imagewidth, page.imagelength, limits, "TIFF")
    if page.dtype is None:
        raise InvalidInputError(
            f"unsupported: TIFF samples of {page.bitspersample} bits; save it with 8 or 16 bits",
            field="inputs",
        )
    declared = max(page.nbytes, math.prod(page.chunks) * page.dtype.itemsize)
    if declared > limits.decoded_bytes:
        raise TooLargeError(
            f"the TIFF declares {declared:,} bytes of pixels; "
            f"the limit (decoded_bytes) is {limits.decoded_bytes:,}",
            field="inputs",
        )
    ends = (a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True))
    if not page.dataoffsets or max(ends) > len(data):
        raise UndecodableError("the TIFF is truncated: pixels lie beyond its end", field="inputs")
    if 0 in page.databytecounts:
        note(
            NoteCode.FILLED,
            "strips or tiles of the TIFF are empty; their pixels were taken as 0",
            count=page.databytecounts.count(0),
        )
    if page.compression not in _BYTE_CODINGS:
        _check_codestreams(page, data)


def _check_codestreams(page: tifffile.TiffPage, data: bytes) -> None:
    name = getattr(page.compression, "name", str(page.compression))
    samples_of = _SIZED_CODINGS.get(page.compression)
    if samples_of is None:
        raise InvalidInputError(
            f"unsupported: a TIFF of compression {name}; {_HOW_TO_CONVERT}", field="inputs"
        )
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if not count:
            continue
        stream = data[offset : offset + count]
        inside = samples_of(stream)
        if inside is None:
            raise UndecodableError(
                f"a strip or tile of the TIFF is no readable {name} stream", field="inputs"
            )
        if not _fits(inside, page):
            raise UndecodableError(
                f"a strip or tile of the TIFF holds {' x '.join(map(str, inside))} samples, "
                f"which is more than it declares ({' x '.join(map(str, page.chunks))})",
                field="inputs",
            )


def _fits(inside: tuple[int, int, int], page: tifffile.TiffPage) -> bool:
    """Whether (width, height, samples) are no more than a strip or tile of the page has."""
    width, height, samples = inside
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
    else:
        rows, columns = min(page.rowsperstrip, page.imagelength), page.imagewidth
    most = page.samplesperpixel if page.planarconfig == 1 else 1
    # A palette or grey may be coded as colours by PNG and WebP, which is at most four times.
    return width <= columns and height <= rows and samples <= max(most, 4)


def _codestream_size(stream: bytes) -> tuple[int, int, int] | None:
    size = declared_size(stream)
    if size is not None:
        check_scans(stream, size[0] * size[1])
    return size


def _lerc_size(stream: bytes) -> tuple[int, int, int] | None:
    """Read the size of a LERC 2 stream; further ones behind it count as samples."""
    if not stream.startswith(_LERC_START):
        return None
    try:
        (version,) = struct.unpack_from("<i", stream, len(_LERC_START))
        at = _LERC_VERSION_BYTES + (4 if version >= _LERC_WITH_CHECKSUM else 0)
        rows, columns, depth = struct.unpack_from("<iii", stream, at)
    except struct.error:
        return None
    if min(rows, columns) < 1:
        return None
    samples = max(depth, 1) if version >= _LERC_WITH_DEPTH else 1
    return columns, rows, samples * stream.count(_LERC_START)


_SIZED_CODINGS: dict[int, Callable[[bytes], tuple[int, int, int] | None]] = {
    **dict.fromkeys((6, 7, 33007, 34892), _codestream_size),  # JPEG
    **dict.fromkeys((33003, 33004, 33005, 34712), _codestream_size),  # JPEG 2000
    34887: _lerc_size,
    34933: _codestream_size,  # PNG
    **dict.fromkeys((34927, 50001), _codestream_size),  # WebP
}
