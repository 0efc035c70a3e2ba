"""Scientific TIFF (16-bit, floating point, many pages) with declared sizes checked first."""

from __future__ import annotations

import io

import numpy as np
import tifffile

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import (
    check_frames,
    check_pixels,
    undecodable,
)
from omnivec2.spec import Limits

_REAL_KINDS = "iuf"


def read_tiff(data: bytes, limits: Limits, *, first_only: bool = False) -> Array:
    """Read grey pages.

    Args:
        data: the file.
        limits: ``pixels`` per page, ``frames`` and ``decoded_bytes`` are checked against
            what the headers declare before any page is decoded.
        first_only: read the first page only.

    Returns:
        (pages, height, width) in the file's own type.

    Raises:
        UndecodableError: damaged or truncated.
        TooLargeError: over a limit.
        InvalidInputError: pages of colours, or of different sizes.
    """
    with undecodable("TIFF", tifffile.TiffFileError), tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = _pages(file, 1 if first_only else limits.frames)
        if not pages:
            raise UndecodableError("the TIFF has no page that can be read", field="inputs")
        check_frames(len(pages), limits, "TIFF")
        for page in pages:
            _check(page, pages[0], data, limits)
        declared = sum(page.nbytes for page in pages)
        if declared > limits.decoded_bytes:
            raise TooLargeError(
                f"the TIFF declares {declared:,} bytes of pixels; "
                f"the limit (decoded_bytes) is {limits.decoded_bytes:,}",
                field="inputs",
            )
        return np.stack([np.asarray(page.asarray(maxworkers=1)) for page in pages])


def _pages(file: tifffile.TiffFile, most: int | None) -> list[tifffile.TiffPage]:
    """The pages, one more than ``most`` at the most."""
    pages: list[tifffile.TiffPage] = []
    for page in file.pages:
        assert isinstance(page, tifffile.TiffPage)
        pages.append(page)
        if most is not None and len(pages) > most:
            break
    return pages


def _check(page: tifffile.TiffPage, first: tifffile.TiffPage, data: bytes, limits: Limits) -> None:
    check_pixels(page.imagewidth, page.imagelength, limits, "TIFF")
    if page.dtype is None or page.dtype.kind not in _REAL_KINDS or len(page.shape) != 2:
        raise InvalidInputError(
            f"expected grey TIFF pages, got {page.dtype} of shape {page.shape}", field="inputs"
        )
    if page.shape != first.shape or page.dtype != first.dtype:
        raise InvalidInputError(
            f"TIFF pages differ: {first.shape} {first.dtype} and {page.shape} {page.dtype}",
            field="inputs",
        )
    ends = (a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True))
    if not page.dataoffsets or max(ends) > len(data):
        raise UndecodableError("the TIFF is truncated: pixels lie behind its end", field="inputs")
