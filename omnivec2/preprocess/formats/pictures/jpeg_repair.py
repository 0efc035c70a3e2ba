"""JPEGs that Pillow does not read: of more than 8 bits, lossless, or without their end mark."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL import Image

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.base import Array
from omnivec2.preprocess.formats.guards.decoding_guard import (
    CODEC_ERRORS,
    check_pixels,
    undecodable,
)
from omnivec2.preprocess.formats.pictures.codestream import check_scans, jpeg_frame
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

_END = b"\xff\xd9"
_END_WITHIN = 64
_FILLING = bytes.fromhex("5ac3963c") * 64
_PLAIN_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_READ_FRAMES = _PLAIN_FRAMES | {0xC3, 0xC9, 0xCA}  # lossless and arithmetic coding
_PLAIN_BITS = 8


def completed(data: bytes) -> bytes | None:
    """Return a JPEG with its end mark if that is all that it lacks, else None.

    Whether all pixels are there is found out by decoding twice, with different bytes in place
    of what is missing: a decoder that has all coefficients reads none of them.
    """
    if _END in data[-_END_WITHIN:]:
        return None
    try:
        if not _holds_all_pixels(data, _decoded):
            return None
    except CODEC_ERRORS:
        return None
    note(NoteCode.REPAIRED, "the JPEG lacks its end marker; all of its pixels are there")
    return data.rstrip(b"\xff") + _END


def _holds_all_pixels(data: bytes, decode: Callable[[bytes], bytes]) -> bool:
    start = data.rstrip(b"\xff")
    return decode(start + _END) == decode(start + _FILLING + _END)


def _decoded(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
        return picture.tobytes()


def read_deep_jpeg(data: bytes, limits: Limits) -> tuple[Array, int] | None:
    """Decode a JPEG of more than 8 bits or a lossless one; None if it is an ordinary one.

    Returns:
        Samples (height, width[, 3]) and the value of white.

    Raises:
        InvalidInputError: the coding is not supported.
        UndecodableError: the file is damaged or truncated.
        TooLargeError: the declared size is over ``limits.pixels``.
    """
    frame = jpeg_frame(data)
    if frame is None or (frame.marker in _PLAIN_FRAMES and frame.bits == _PLAIN_BITS):
        return None
    check_pixels(frame.width, frame.height, limits, "JPEG")
    check_scans(data, frame.width * frame.height)
    if frame.marker not in _READ_FRAMES or frame.components not in (1, 3):
        raise InvalidInputError(
            f"unsupported: a JPEG of {frame.bits} bits, {frame.components} components and coding "
            f"0x{frame.marker:02X}; convert it to PNG, for example with: magick INPUT output.png",
            field="inputs",
        )
    # Not on loading: few files need it.
    import imagecodecs

    with undecodable("JPEG"):
        samples: Array = imagecodecs.jpeg8_decode(data)
        # This decoder fills up what is missing, silently.
        if _END not in data[-_END_WITHIN:] and not _holds_all_pixels(
            data, lambda stream: bytes(imagecodecs.jpeg8_decode(stream).data)
        ):
            raise UndecodableError("the JPEG is truncated", field="inputs")
        if samples.shape[:2] != (frame.height, frame.width):
            raise UndecodableError("the JPEG disagrees with its header", field="inputs")
        return samples, (1 << frame.bits) - 1
