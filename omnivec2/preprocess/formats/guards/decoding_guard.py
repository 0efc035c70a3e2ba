"""Guards around codecs, so that a hostile file costs neither memory, time nor a stack trace.

Codecs read untrusted bytes. Whatever they raise is turned into an ``InputError`` here, and
declared sizes are compared with limits before a codec can allocate memory for them.
"""

from __future__ import annotations

import errno
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from omnivec2.errors import (
    InvalidInputError,
    ModelNotReadyError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess.formats.guards.foreign_formats import describe_bytes, name_of_format
from omnivec2.preprocess.notes import NoteCode, note
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
"""The errors that Pillow, tifffile, pydicom and their plugins raise on damaged files.

They parse untrusted structures in Python, where a wrong byte can cause any of these; none of
them documents which. ``Warning`` is raised only where warnings are errors.
"""

# Codecs remark on every odd tag of a file: a stranger's file would write thousands of lines
# into the log. What matters to the caller is a note or an error.
for _codec in ("PIL", "pydicom", "pylibjpeg", "tifffile"):
    warnings.filterwarnings("ignore", module=rf"{_codec}\b")
    logging.getLogger(_codec).setLevel(logging.CRITICAL)


_SYSTEM_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE})
"""What the system says of a full disk or of too many open files: no fault of the input."""


def format_of(
    data: bytes, sniffed: str | None, media_type: str | None, media_types: Mapping[str, str]
) -> str:
    """Return the name of a file's format, e.g. ``"PNG"``.

    A picture that is declared as one of another format is read as what it is, with a note:
    tools derive the type from a file's name, which people change.

    Args:
        data: The file.
        sniffed: The content type detected from its bytes, or None.
        media_type: The content type that the caller declared, or None.
        media_types: The accepted content types -> their names.

    Raises:
        UnsupportedMediaTypeError: the declared content type is not accepted.
        UndecodableError: the file is empty, of no accepted format, or not of the declared one.
    """
    accepted = ", ".join(dict.fromkeys(media_types.values()))
    if media_type is not None and media_type not in media_types:
        raise UnsupportedMediaTypeError(
            f"{media_type} is not accepted; expected {accepted}", known=tuple(media_types)
        )
    expected = media_types[media_type] if media_type else accepted
    if not data:
        raise UndecodableError(f"the input is empty; expected {expected}", field="inputs")
    found = media_types.get(sniffed) if sniffed else None
    if found is None:
        if (foreign := name_of_format(data)) is not None:
            raise UndecodableError(
                f"unsupported: the file is {foreign.name}; {foreign.advice}; expected {accepted}",
                field="inputs",
                known=tuple(media_types),
            )
        raise UndecodableError(
            f"the bytes are not {expected}: {describe_bytes(data)}. Send the file itself, "
            f"unaltered, as one of: {accepted}",
            field="inputs",
        )
    if media_type and expected != found:
        if sniffed and _is_picture(sniffed) and _is_picture(media_type):
            note(
                NoteCode.GUESSED,
                f"declared as {expected}, but the bytes are {found}; they were read as {found}",
            )
            return found
        raise UndecodableError(
            f"declared as {expected}, but the bytes are {found}: declare it as that, or send no "
            "Content-Type",
            field="inputs",
        )
    return found


def _is_picture(media_type: str) -> bool:
    return media_type.startswith("image/") and media_type != "image/dicom"


@contextmanager
def undecodable(kind: str, *also: type[Exception]) -> Iterator[None]:
    """Turn the errors of a codec inside the block into :class:`UndecodableError`.

    Args:
        kind: The expected format, for the message, e.g. ``"PNG"``.
        also: The codec's own errors, if they derive from none of :data:`CODEC_ERRORS`.

    Raises:
        UndecodableError: The codec failed.
        ModelNotReadyError: The codec could not open or write a file of its own.
    """
    caught: tuple[type[Exception], ...] = (*CODEC_ERRORS, *also)
    try:
        yield
    except caught as error:
        if isinstance(error, OSError) and error.errno in _SYSTEM_FAULTS:
            message = f"the service cannot decode a {kind} now: {error.strerror}"
            raise ModelNotReadyError(message) from error
        message = f"not a readable {kind} file; it is damaged or truncated"
        raise UndecodableError(message, field="inputs") from error


def check_pixels(width: int, height: int, limits: Limits, kind: str) -> None:
    """Compare a declared picture size with ``limits.pixels``.

    Raises:
        UndecodableError: a side is not positive.
        TooLargeError: there are more pixels than the limit.
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
        InvalidInputError: there are no frames.
        TooLargeError: there are more frames than the limit.
    """
    if frames < 1:
        raise InvalidInputError(f"the {kind} holds no frames", field="inputs")
    if limits.frames is not None and frames > limits.frames:
        raise TooLargeError(
            f"the {kind} has more frames than the limit (frames) of {limits.frames:,}",
            field="inputs",
        )
