"""Clips as phones, dashcams, broadcasters and editing programs leave them."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from tests.cases.case import (
    AnyOf,
    Case,
    Factory,
    Noted,
    OtherThan,
    Refused,
    SameAs,
    Sent,
)
from tests.support.sample_files.clips import Picture, clip, with_edits, with_matrix
from tests.support.sample_files.sounds import tones

ROUTE = "video?tasks=action,embedding"
FRAMES = 30

EXACT, CODECS = 0.001, 0.06


def frame(index: int) -> Picture:
    """A bar that moves down a dim wall; then somebody stands before a fence, (64, 80, 3)."""
    rows, columns = np.mgrid[:64, :80]
    if index < FRAMES // 2:
        grey = 30 + columns / 3 + 150 * (abs(rows - 5 - 3 * index) < 6)
        return np.stack([grey, grey * 0.7, grey * 0.5], axis=-1).astype(np.uint8)
    fence = 110 + 100 * (columns // 6 % 2) - rows / 2
    figure = (abs(columns - index * 2) < 11) & (rows > 16)
    pixels = np.stack([fence * 0.6, fence, fence * 0.7], axis=-1)
    pixels[figure] = 200, 40, 30
    return pixels.astype(np.uint8)


def shown(first: int = 0, frames: int = FRAMES) -> list[Picture]:
    return [frame(index) for index in range(first, first + frames)]


def plain() -> bytes:
    return clip(shown())


def trimmed(entries: list[tuple[int, int | None]]) -> bytes:
    return with_edits(clip(shown(-20, FRAMES + 20), g="11"), entries)


def slowing_down() -> bytes:
    """Half of the frames in a fifth of the time."""
    times = [i * 20 for i in range(15)] + [300 + i * 80 for i in range(15)]
    return clip(shown(), times_ms=times, rate=100)


def at_a_constant_rate() -> bytes:
    moments = np.arange(75) * 20
    picked = [m // 20 if m < 300 else 15 + (m - 300) // 80 for m in moments]
    return clip([frame(int(index)) for index in picked], rate=50)


def turned() -> bytes:
    stored = [np.ascontiguousarray(np.rot90(picture)) for picture in shown()]
    return with_matrix(clip(stored), (0, 1, -1, 0))


def mirrored() -> bytes:
    stored = [np.ascontiguousarray(picture[:, ::-1]) for picture in shown()]
    return with_matrix(clip(stored), (-1, 0, 0, 1))


def song_with_cover() -> bytes:
    """A song whose cover is stored as a video track of one picture."""
    sound = tones(1.0, seed=4)[None]
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as opened:
        voice = opened.add_stream("aac", rate=16_000, layout="mono")
        cover = opened.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 80, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(frame(3), format="rgb24")
        picture.pts, picture.time_base = 0, Fraction(1, 1)
        opened.mux(cover.encode(picture))
        opened.mux(cover.encode(None))
        for start in range(0, sound.shape[1], 1024):
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(sound[:, start : start + 1024]), "fltp", "mono"
            )
            block.sample_rate, block.pts = 16_000, start
            opened.mux(voice.encode(block))
        opened.mux(voice.encode(None))
    return file.getvalue()


def animation() -> bytes:
    file = io.BytesIO()
    first, *others = [Image.fromarray(picture) for picture in shown(0, 12)]
    first.save(file, "GIF", save_all=True, append_images=others, duration=100)
    return file.getvalue()


def same(name: str, made: Factory, wanted: Factory = plain, tolerance: float = CODECS) -> Case:
    return Case(f"video: {name}", ROUTE, made, SameAs(wanted, tolerance))


_OPEN = {"x264-params": "open-gop=1:keyint=7:bframes=2:scenecut=0"}

CASES = [
    same("a phone that was held upright", turned),
    same("a front camera that mirrors", mirrored),
    same("a browser's recording in VP8", lambda: clip(shown(), "webm", "libvpx", b="4000000")),
    same("a phone's trim", lambda: trimmed([(FRAMES, 20)])),
    same("a trim in two parts", lambda: trimmed([(15, 20), (15, 35)])),
    same("open groups of pictures", lambda: clip(shown(), **_OPEN)),
    same("a camcorder's MPEG-TS", lambda: clip(shown(), "mpegts", g="9")),
    same(
        "a DVD's MPEG-PS",
        lambda: clip(shown(), "mpeg", "mpeg2video", rate=25, bf="2", b="4000000"),
    ),
    same("a variable frame rate", slowing_down, at_a_constant_rate, 0.12),
    same("a dashcam's log behind the file", lambda: plain() + b"GPS 48.1,11.5 speed 43\n"),
    same("a GIF with a newline behind", lambda: animation() + b"\n", animation, EXACT),
    same(
        "an empty box of free space behind",
        lambda: plain() + struct.pack(">I4s", 40, b"free") + bytes(32),
        tolerance=EXACT,
    ),
    Case(
        "video: a recording that starts between key frames",
        ROUTE,
        lambda: clip(shown(), "mpegts", g="8", bf="0")[188 * 20 :],
        AnyOf([Noted("key ?frame|dropped"), Refused("key ?frame")]),
    ),
    Case(
        "video: a song with its cover", "video/action", song_with_cover, Refused("cover|no video")
    ),
    Case(
        "video: an even grey clip",
        "video/action",
        lambda: clip([np.full((64, 80, 3), 120, np.uint8)] * 12),
        AnyOf([Noted("empty"), Refused("even|uniform")]),
    ),
    Case(
        "video: a clip that is declared as a picture",
        "video/action",
        lambda: Sent(plain(), "image/png"),
        AnyOf([Refused("mp4|video|png"), SameAs(plain)]),
    ),
    Case(
        "video: the first half is another clip",
        ROUTE,
        lambda: clip(shown(0, FRAMES // 2)),
        # Both are far from what was trained on, and answered with little confidence.
        OtherThan(plain, EXACT),
    ),
]
