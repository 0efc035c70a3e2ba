"""What keeps a hostile file from costing memory, time or a stack trace.

Codecs meet bytes from anywhere. Whatever a codec raises becomes an ``InputError`` here,
and declared sizes are compared with limits before a codec may allocate for them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from omnivec2.errors import (
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.spec import Limits

CODEC_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    EOFError,
    RuntimeError,
    MemoryError,
    BufferError,
    struct.error,
    zlib.error,
    Warning,
)
"""What Pillow, tifffile, pydicom and their plugins raise on damaged files.

They parse untrusted structures in Python, where a wrong byte can become any of these; none
documents which. ``Warning`` counts only where warnings are errors.
"""


def format_of(
    data: bytes, sniffed: str | None, media_type: str | None, media_types: Mapping[str, str]
) -> str:
    """The human name of a file's format, e.g. ``"PNG"``.

    Args:
        data: the file.
        sniffed: the content type its bytes look like, or None.
        media_type: the content type the caller declared, or None.
        media_types: accepted content types -> human names.

    Raises:
        UnsupportedMediaTypeError: a content type is declared that is not accepted.
        UndecodableError: empty, of no accepted format, or of another one than declared.
    """
    accepted = ", ".join(dict.fromkeys(media_types.values()))
    if media_type is not None and media_type not in media_types:
        raise UnsupportedMediaTypeError(
            f"{media_type} is not taken; expected {accepted}", known=tuple(media_types)
        )
    expected = media_types[media_type] if media_type else accepted
    if not data:
        raise UndecodableError(f"the input is empty; expected {expected}", field="inputs")
    found = media_types.get(sniffed) if sniffed else None
    if found is None:
        raise UndecodableError(f"the bytes are not {expected}", field="inputs")
    if media_type and expected != found:
        raise UndecodableError(f"declared as {expected}, but the bytes are {found}", field="inputs")
    return found


@contextmanager
def undecodable(kind: str, *also: type[Exception]) -> Iterator[None]:
    """Turn what a codec raises inside the block into :class:`UndecodableError`.

    Args:
        kind: what the bytes should have been, for the message, e.g. ``"PNG"``.
        also: errors of the codec's own that derive from none of :data:`CODEC_ERRORS`.
    """
    caught: tuple[type[Exception], ...] = (*CODEC_ERRORS, *also)
    try:
        yield
    except caught as error:
        message = f"not a readable {kind} file; it is damaged or truncated"
        raise UndecodableError(message, field="inputs") from error


def check_pixels(width: int, height: int, limits: Limits, kind: str) -> None:
    """Compare a declared picture size with ``limits.pixels``.

    Raises:
        UndecodableError: a side is not positive.
        TooLargeError: more pixels than the limit.
    """
    if width < 1 or height < 1:
        raise UndecodableError(f"the {kind} declares a size of {width} x {height}", field="inputs")
    if limits.pixels is not None and width * height > limits.pixels:
        raise TooLargeError(
            f"the {kind} declares {width:,} x {height:,} pixels; "
            f"the limit (pixels) is {limits.pixels:,}",
            field="inputs",
        )


def check_frames(frames: int, limits: Limits, kind: str) -> None:
    """Compare a number of frames with ``limits.frames``.

    Raises:
        InvalidInputError: there are none.
        TooLargeError: more than the limit.
    """
    if frames < 1:
        raise InvalidInputError(f"the {kind} holds no frames", field="inputs")
    if limits.frames is not None and frames > limits.frames:
        raise TooLargeError(
            f"the {kind} has more frames than the limit (frames) of {limits.frames:,}",
            field="inputs",
        )
