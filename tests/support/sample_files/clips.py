"""Small videos, made at test time: every frame is brighter than the one before."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

STEP = 6
"""How much brighter each frame of a clip is than the one before."""

Picture = npt.NDArray[np.uint8]
_ONE = 1 << 16


def brighter(index: int, size: tuple[int, int] = (32, 32)) -> Picture:
    """Return the picture of a frame of a clip."""
    return np.full((size[1], size[0], 3), index * STEP % 256, dtype=np.uint8)


def clip(
    frames: int | Sequence[Picture],
    kind: str = "mp4",
    codec: str = "libx264",
    *,
    size: tuple[int, int] = (32, 32),
    rate: int = 10,
    times_ms: Sequence[int] | None = None,
    muxing: Mapping[str, str] | None = None,
    **options: str,
) -> bytes:
    """Encode a clip.

    Args:
        frames: The pictures, or the number of those of :func:`brighter`.
        kind: FFmpeg's name of the container.
        codec: FFmpeg's name of the encoder.
        size: The width and height of the pictures.
        rate: The frames per second.
        times_ms: When each frame is shown, in milliseconds; evenly by default.
        muxing: Options of the container.
        options: Options of the encoder.
    """
    pictures = [brighter(i, size) for i in range(frames)] if isinstance(frames, int) else frames
    file = io.BytesIO()
    with av.open(file, "w", format=kind, options=dict(muxing or {})) as opened:
        stream = opened.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
    return file.getvalue()


def with_matrix(data: bytes, matrix: Sequence[float]) -> bytes:
    """Return an MP4 with another display matrix: a, b, c, d in whole turns."""
    a, b, c, d = (int(number * _ONE) for number in matrix)
    at = data.find(b"tkhd") + 44  # of a version 0 track header
    packed = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return data[:at] + packed + data[at + 36 :]


def with_edits(
    data: bytes, edits: Sequence[tuple[int, int | None]], rate: int = 10, speed: float = 1.0
) -> bytes:
    """Return an MP4, whose index is at its end, with another edit list.

    Args:
        data: The MP4, with one track and one edit, of a constant rate.
        edits: The number of frames of each part, and its first frame; None shows nothing.
        rate: The frames per second.
        speed: How fast the parts are played.
    """
    at = data.find(b"elst") - 4
    old = struct.unpack_from(">I", data, at)[0]
    start = struct.unpack_from(">i", data, at + 20)[0]  # of the first frame to be shown
    ticks = struct.unpack_from(">I", data, data.find(b"mdhd") + 16)[0] // rate
    entries = b"".join(
        struct.pack(
            ">Iii",
            frames * 1000 // rate,
            -1 if first is None else start + first * ticks,
            int(speed * _ONE),
        )
        for frames, first in edits
    )
    content = struct.pack(">4xI", len(edits)) + entries
    new = struct.pack(">I4s", 8 + len(content), b"elst") + content
    grown = bytearray(data[:at] + new + data[at + old :])
    for name in (b"moov", b"trak", b"edts"):
        place = grown.find(name) - 4
        size = struct.unpack_from(">I", grown, place)[0] + len(new) - old
        struct.pack_into(">I", grown, place, size)
    return bytes(grown)
