"""Reader of scientific TIFF (16-bit, floating point, many pages); sizes are checked first."""

from __future__ import annotations

import io

import numpy as np
import tifffile

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import check_frames, undecodable
from omnivec2.preprocess.formats.pictures.tiff_pages.samples import choose_page
from omnivec2.preprocess.formats.pictures.tiff_pages.segments import check_page, check_tags
from omnivec2.spec import Limits

_REAL_KINDS = "iuf"


def read_tiff(data: bytes, limits: Limits, *, first_only: bool = False) -> Array:
    """Read grey pages.

    Args:
        data: The file.
        limits: The head's limits; what the headers declare is compared with ``pixels`` per
            page, ``frames`` and ``decoded_bytes`` before any page is decoded.
        first_only: Whether to read one page only, the first that is no thumbnail and no mask.

    Returns:
        An array (pages, height, width) of the file's own type.

    Raises:
        UndecodableError: the file is damaged or truncated.
        TooLargeError: a declared size is over its limit.
        InvalidInputError: the pages are coloured, or of different sizes.
    """
    check_tags(data)
    with undecodable("TIFF", tifffile.TiffFileError), tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [choose_page(file)[0]] if first_only else _pages(file, limits.frames)
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


def _pages(file: tifffile.TiffFile, max_pages: int | None) -> list[tifffile.TiffPage]:
    """Return the pages, or the first ``max_pages`` + 1 of them."""
    pages: list[tifffile.TiffPage] = []
    for page in file.pages:
        assert isinstance(page, tifffile.TiffPage)
        pages.append(page)
        if max_pages is not None and len(pages) > max_pages:
            break
    return pages


def _check(page: tifffile.TiffPage, first: tifffile.TiffPage, data: bytes, limits: Limits) -> None:
    if page.dtype is None or page.dtype.kind not in _REAL_KINDS or len(page.shape) != 2:
        raise InvalidInputError(
            f"expected grey TIFF pages, got {page.dtype} of shape {page.shape}", field="inputs"
        )
    if page.shape != first.shape or page.dtype != first.dtype:
        raise InvalidInputError(
            f"TIFF pages differ: {first.shape} {first.dtype} and {page.shape} {page.dtype}",
            field="inputs",
        )
    check_page(page, data, limits)
