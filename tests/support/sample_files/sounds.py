"""Small recordings, made at test time."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile

Waveform = npt.NDArray[np.float32]


def tones(seconds: float = 1.0, rate: int = 16_000, seed: int = 0) -> Waveform:
    """Return a few tones that fade, between 200 and 3,000 Hz: all codecs keep them."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * rate)) / rate
    parts = [
        level * np.sin(2 * np.pi * hertz * times + phase)
        for level, hertz, phase in zip(
            rng.uniform(0.05, 0.15, 4),
            rng.uniform(200, 3000, 4),
            rng.uniform(0, 6, 4),
            strict=True,
        )
    ]
    waveform: Waveform = (np.sum(parts, axis=0) * np.exp(-times)).astype(np.float32)
    return waveform


def written(
    waveform: npt.NDArray[Any],
    rate: int = 16_000,
    kind: str = "WAV",
    subtype: str | None = None,
    endian: str | None = None,
) -> bytes:
    """Write a file with libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format=kind, subtype=subtype, endian=endian)
    return file.getvalue()


def encoded(waveform: Waveform, kind: str, codec: str, rate: int = 16_000) -> bytes:
    """Write a file with FFmpeg: (samples,) or (samples, 2)."""
    planes = np.atleast_2d(waveform.T)
    layout = "mono" if len(planes) == 1 else "stereo"
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as opened:
        stream = opened.add_stream(codec, rate=rate, layout=layout)
        for start in range(0, planes.shape[1], 1024):
            block = np.ascontiguousarray(planes[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, "fltp", layout)
            frame.sample_rate, frame.pts = rate, start
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
    return file.getvalue()
