"""Draws inputs without meaning: what a head must tell from its training data, as far as it can.

They show a training reference in which direction nonsense lies, so that rain is told from white
noise. They are of many kinds and strengths, because nobody knows which nonsense will be sent: even
pictures, noise of all colours and grains, tones, constants, random words, values off every scale.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Mapping
from itertools import count, islice
from typing import Any

import numpy as np
from PIL import Image

from omnivec2.arrays import Array
from omnivec2.errors import OmniVecError
from omnivec2.preprocess import Preprocessor, Sample, preprocessor_for
from omnivec2.spec import HeadSpec, Modality

DRAWS = 48
_SEED = 7
_MOST_SAMPLES = 2
"""Samples of one drawn input: of a recording's windows or a scene's pixels, the first."""
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))
_DIGITS = np.array(list("0123456789"))

Draw = Callable[[HeadSpec, np.random.Generator, int], Any]
"""Draws the input of a number, in the form that its pre-processor decodes: bytes, or JSON."""


def draw_nonsense(head: HeadSpec, draws: int = DRAWS) -> list[Sample]:
    """Return samples of drawn inputs; the same arguments always give the same."""
    preprocessor = preprocessor_for(head)
    rng = np.random.default_rng(_SEED)
    drawn = (_DRAWS[head.modality](head, rng, number) for number in count())
    decoded = (_prepared(preprocessor, value) for value in islice(drawn, draws))
    return [sample for samples in decoded for sample in samples]


def _prepared(preprocessor: Preprocessor[Any, Any], value: Any) -> list[Sample]:
    """Return the first samples of an input; none if the pre-processor refuses it."""
    try:
        is_file = isinstance(value, bytes)
        native = preprocessor.decode(value) if is_file else preprocessor.decode_json(value)
        samples = preprocessor.prepare(native).samples
        return [samples[index] for index in range(min(len(samples), _MOST_SAMPLES))]
    except OmniVecError:
        return []


def _field(rng: np.random.Generator, shape: tuple[int, ...], number: int) -> Array:
    """Return values of 0 to 1 over rows and columns, or frames: even, noise, ramp or stripes.

    Args:
        rng: The source of randomness.
        shape: The shape; the last axis is of channels, the two before it of rows and columns.
        number: The number of the draw, which chooses the kind.
    """
    *_, height, width, _ = shape
    level, strength = rng.uniform(0, 1), rng.choice([0.01, 0.05, 0.2, 0.5, 1.0])
    kind = number % 4
    if kind == 0:
        values = np.full(shape, rng.choice([0.0, 0.25, 0.5, 0.75, 1.0]))
    elif kind == 1:
        grain = int(rng.choice([1, 1, 2, 4]))
        coarse = (*shape[:-3], -(-height // grain), -(-width // grain), shape[-1])
        noise = rng.uniform(-1, 1, coarse) if rng.random() < 0.5 else rng.normal(0, 0.5, coarse)
        noise = noise.repeat(grain, axis=-3).repeat(grain, axis=-2)[..., :height, :width, :]
        values = level + strength * noise
    elif kind == 2:
        slopes = rng.uniform(-1, 1, 2)
        ramp = slopes[0] * np.linspace(0, 1, height)[:, None] + slopes[1] * np.linspace(0, 1, width)
        values = level + np.broadcast_to(ramp[..., None], shape)
    else:
        period = int(rng.choice([2, 3, 4, 8, 16]))
        places = np.arange(height)[:, None] if rng.random() < 0.5 else np.arange(width)[None]
        bright = np.broadcast_to(places // (period // 2 or 1) % 2, (height, width))
        values = level + strength * np.broadcast_to(bright[..., None], shape)
    return np.asarray(np.clip(values, 0, 1))


def _picture_file(pixels: Array) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def _picture(head: HeadSpec, rng: np.random.Generator, number: int) -> bytes:
    channels = 3 if head.modality is Modality.IMAGE else 1
    field = _field(rng, (192, 192, channels), number)
    pixels = np.rint(field * 255).astype(np.uint8)
    return _picture_file(pixels if channels == 3 else pixels[..., 0])


def _clip(_: HeadSpec, rng: np.random.Generator, number: int) -> bytes:
    frames = np.rint(_field(rng, (8, 96, 128, 3), number) * 255).astype(np.uint8)
    for index, frame in enumerate(frames):
        frame[0, index] = index  # GIF merges equal frames
    pages = [Image.fromarray(frame) for frame in frames]
    stream = io.BytesIO()
    pages[0].save(stream, "GIF", save_all=True, append_images=pages[1:], duration=125)
    return stream.getvalue()


def _sound(_: HeadSpec, rng: np.random.Generator, number: int) -> bytes:
    rate, size = 16_000, 80_000
    level = 10 ** rng.uniform(-4, 0)
    if number % 4 == 3:
        time = np.arange(size) / rate
        samples = level * np.sin(2 * np.pi * rng.uniform(50, 6000) * time)
    else:
        spectrum = np.fft.rfft(rng.normal(size=size))
        slope = 0.0 if number % 2 else rng.choice([-1.0, -0.5, 0.5, 1.0])
        spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** slope
        noise = np.fft.irfft(spectrum, size)
        samples = level * noise / np.abs(noise).max() * rng.choice([1.0, 3.0])
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return stream.getvalue()


def _words(rng: np.random.Generator, number: int) -> str:
    words = int(rng.integers(1, 30))
    signs = _DIGITS if number % 6 == 4 else _LETTERS
    if number % 6 == 5:
        return " ".join([str(rng.choice(_LETTERS))] * words)
    if number % 6 == 3:
        return "".join(rng.choice(list("!?.,;:-_#*/()"), words))
    lengths = rng.integers(2, 12, words)
    return " ".join("".join(rng.choice(signs, length)) for length in lengths)


def _text(head: HeadSpec, rng: np.random.Generator, number: int) -> Any:
    text = _words(rng, number)
    parameters: Any = preprocessor_for(head).parameters
    return {"text": text, "text_pair": _words(rng, number + 1)} if parameters.pair else text


def _depth(_: HeadSpec, rng: np.random.Generator, number: int) -> bytes:
    metres = _field(rng, (16, 64, 80, 1), number)[..., 0] * rng.choice([4.0, 4.0, 10.0])
    stream = io.BytesIO()
    np.save(stream, np.rint(metres * 1000 + 1).astype(np.uint16))
    return stream.getvalue()


def _cloud(_: HeadSpec, rng: np.random.Generator, number: int) -> Any:
    size = int(rng.choice([4, 40, 1024, 1024, 2048]))
    points = rng.normal(size=(size, 3)) if number % 2 else rng.uniform(-1, 1, (size, 3))
    points *= rng.choice([1.0, 1.0, 0.1, 0.0], 3) if number % 3 else 1.0
    return points.round(5).tolist()


def _series(_: HeadSpec, rng: np.random.Generator, number: int) -> Any:
    size = 512
    kinds = (
        lambda: np.full(size, rng.normal() * 10),
        lambda: rng.normal(size=size) * 10 ** rng.uniform(-3, 3),
        lambda: rng.permutation(np.sin(np.arange(size) / rng.uniform(2, 20))),
        lambda: (rng.random(size) < 0.01) * 10 ** rng.uniform(0, 6),
        lambda: np.arange(size) % 2 * rng.normal() * 10,
    )
    return [float(value) for value in kinds[number % len(kinds)]()]


def _row(head: HeadSpec, rng: np.random.Generator, number: int) -> Any:
    parameters: Any = preprocessor_for(head).parameters
    scale = 10 ** rng.uniform(0.5, 3.5)
    words = number % 3 == 0

    def cell(column: Any) -> Any:
        if rng.random() < (0.9 if number % 4 == 0 else 0.1):
            return None
        if column.kind == "number":
            return float(column.mean + scale * column.std * rng.normal())
        return "?!" if words else str(rng.choice(np.array(column.categories)))

    return [{column.name: cell(column) for column in parameters.columns}]


def _molecule(_: HeadSpec, rng: np.random.Generator, number: int) -> bytes:
    strange = np.array(["[U]", "[Pt]", "[Au]", "[Hg]", "[Si]", "[B]", "[Xe]", "[Na]", "[Fe]"])
    if number % 3 == 0:
        return ("C" * int(rng.integers(60, 160))).encode()
    joined = "." if number % 3 == 1 else ""
    return joined.join(rng.choice(strange, int(rng.integers(1, 20)))).encode()


def _motion(head: HeadSpec, rng: np.random.Generator, number: int) -> Any:
    parameters: Any = preprocessor_for(head).parameters
    names, size = parameters.channels, int(4 * parameters.rate_hz)
    scale = 10 ** rng.uniform(-2, 1.5)
    shape = (size, len(names))
    kinds = (
        lambda: np.full(shape, rng.choice([0.0, 0.0, scale])),
        lambda: np.broadcast_to(scale * rng.normal(size=shape[1]), shape),
        lambda: scale * rng.normal(size=shape),
        lambda: (
            scale * np.sign(np.sin(np.arange(size) * rng.uniform(0.1, 3)))[:, None] * np.ones(shape)
        ),
    )
    signal = kinds[number % len(kinds)]()
    return {name: signal[:, index].round(5).tolist() for index, name in enumerate(names)}


def _cube(head: HeadSpec, rng: np.random.Generator, number: int) -> bytes:
    bands = head.inputs[0].shape[-1]
    scale = 10 ** rng.uniform(-1, 5)
    shape = (8, 8, bands)
    kinds = (
        lambda: rng.uniform(0, scale, shape),
        lambda: np.full(shape, scale),
        lambda: scale * rng.normal(size=shape),
        lambda: scale * np.broadcast_to(np.linspace(rng.random(), rng.random(), bands), shape),
    )
    stream = io.BytesIO()
    np.save(stream, np.clip(kinds[number % len(kinds)](), -32_000, 32_000).astype(np.float32))
    return stream.getvalue()


_DRAWS: Mapping[Modality, Draw] = {
    Modality.IMAGE: _picture,
    Modality.VIDEO: _clip,
    Modality.AUDIO: _sound,
    Modality.TEXT: _text,
    Modality.DEPTH: _depth,
    Modality.POINTCLOUD: _cloud,
    Modality.TIMESERIES: _series,
    Modality.TABULAR: _row,
    Modality.GRAPH: _molecule,
    Modality.XRAY: _picture,
    Modality.INFRARED: _picture,
    Modality.IMU: _motion,
    Modality.HYPERSPECTRAL: _cube,
}
