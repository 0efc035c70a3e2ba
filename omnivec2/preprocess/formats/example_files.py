"""Tiny valid files for the examples of the documentation."""

from __future__ import annotations

import base64
import io
import wave
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE = 16
_SAMPLE_RATE = 8000
_TONE_HZ = 440.0
_TONE_SECONDS = 0.1


def picture() -> str:
    """Draw a grey gradient of 16 x 16 pixels as a base64 PNG."""
    buffer = io.BytesIO()
    _gradient(0).save(buffer, "PNG", optimize=True)
    return _base64(buffer)


def clip() -> str:
    """Draw two frames of 16 x 16 pixels as a base64 GIF."""
    buffer = io.BytesIO()
    _gradient(0).save(
        buffer, "GIF", save_all=True, append_images=[_gradient(90)], duration=100, loop=0
    )
    return _base64(buffer)


def tone() -> str:
    """Generate a tenth of a second of a sine as a base64 WAV."""
    times = np.arange(int(_SAMPLE_RATE * _TONE_SECONDS)) / _SAMPLE_RATE
    samples = np.rint(12_000 * np.sin(2 * np.pi * _TONE_HZ * times)).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SAMPLE_RATE)
        file.writeframes(samples.tobytes())
    return _base64(buffer)


def _gradient(degrees: float) -> Image:
    # Not on loading: the tone needs no library for pictures.
    from PIL import Image

    return Image.linear_gradient("L").resize((_SIDE, _SIDE)).rotate(degrees)


def _base64(buffer: io.BytesIO) -> str:
    return base64.b64encode(buffer.getvalue()).decode()
