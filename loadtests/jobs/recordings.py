"""Recordings of any length, made at test time and written piece by piece."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

_RATE_HZ = 16_000
_SEED = 7


def write_sound(path: Path, seconds: int) -> Path:
    """Write a WAV of tones that change every second, with noise, and return its path."""
    rng = np.random.default_rng(_SEED)
    times = np.arange(_RATE_HZ) / _RATE_HZ
    with soundfile.SoundFile(path, "w", _RATE_HZ, 1, "PCM_16") as file:
        for _ in range(seconds):
            tone = np.sin(2 * np.pi * rng.uniform(100, 4000) * times)
            noise = rng.normal(size=_RATE_HZ)
            file.write((0.2 * tone + 0.05 * noise).astype(np.float32))
    return path


def write_video(
    path: Path, seconds: int, size: tuple[int, int] = (320, 240), rate: int = 25
) -> Path:
    """Write an MP4 of a square that moves over a picture, and return its path."""
    width, height = size
    rng = np.random.default_rng(_SEED)
    picture = rng.integers(0, 255, (height // 16, width // 16, 3), dtype=np.uint8)
    still = picture.repeat(16, axis=0).repeat(16, axis=1)
    with av.open(str(path), "w") as opened:
        stream = opened.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, rate)
        for number in range(seconds * rate):
            pixels = still.copy()
            left = 3 * number % (width - 32)
            pixels[height // 2 : height // 2 + 32, left : left + 32] = 255
            opened.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        opened.mux(stream.encode(None))
    return path
