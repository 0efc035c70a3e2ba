"""Inputs of every modality that show nothing: silence, noise, even pictures, impossible values.

All are drawn with a fixed seed, as files or JSON values that a caller could send.
"""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from omnivec2.arrays import Array
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec, Modality

_SEED = 16
_RATE = 16_000
_SECONDS = 5


@dataclass(frozen=True)
class NonsenseInput:
    """One input without meaning.

    Attributes:
        name: The name of the kind.
        body: The body of the request.
        media_type: Its content type.
    """

    name: str
    body: bytes
    media_type: str


def nonsense_inputs(head: HeadSpec) -> list[NonsenseInput]:
    """Return the inputs for a head; the same every time."""
    rng = np.random.default_rng(_SEED)
    return list(_MAKERS[head.modality](head, rng))


def _from_json(name: str, value: Any) -> NonsenseInput:
    return NonsenseInput(name, json.dumps({"inputs": value}).encode(), "application/json")


def _png(name: str, pixels: Array) -> NonsenseInput:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=1)
    return NonsenseInput(name, stream.getvalue(), "image/png")


def _npy(name: str, array: Array) -> NonsenseInput:
    stream = io.BytesIO()
    np.save(stream, array)
    return NonsenseInput(name, stream.getvalue(), "application/x-npy")


def _even_and_noisy(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, Array]:
    """Return 8-bit pictures (or frames) by name."""
    size = shape[-3:-1] if shape[-1] == 3 else shape[-2:]
    board = np.indices(size).sum(axis=0) % 2 * 255
    board = board[..., None] if shape[-1] == 3 else board
    return {
        "black": np.zeros(shape, np.uint8),
        "grey": np.full(shape, 128, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "white noise": rng.integers(0, 256, shape, np.uint8),
        "faint noise": np.clip(rng.normal(128, 3, shape), 0, 255).astype(np.uint8),
        "checkerboard": np.broadcast_to(board, shape).astype(np.uint8),
    }


def _pictures(_: HeadSpec, rng: np.random.Generator) -> Iterator[NonsenseInput]:
    for name, pixels in _even_and_noisy(rng, (256, 256, 3)).items():
        yield _png(name, pixels)


def _grey_pictures(_: HeadSpec, rng: np.random.Generator) -> Iterator[NonsenseInput]:
    for name, pixels in _even_and_noisy(rng, (256, 256)).items():
        yield _png(name, pixels)


def _videos(_: HeadSpec, rng: np.random.Generator) -> Iterator[NonsenseInput]:
    for name, frames in _even_and_noisy(rng, (16, 120, 160, 3)).items():
        pages = [Image.fromarray(frame) for frame in frames]
        if not frames.std(axis=0).any():
            # GIF merges equal frames, so one pixel changes.
            for index, page in enumerate(pages):
                page.putpixel((index, 0), (index, index, index))
        stream = io.BytesIO()
        pages[0].save(stream, "GIF", save_all=True, append_images=pages[1:], duration=125)
        yield NonsenseInput(name, stream.getvalue(), "image/gif")


def _sounds(_: HeadSpec, rng: np.random.Generator) -> Iterator[NonsenseInput]:
    time = np.arange(_RATE * _SECONDS) / _RATE
    noise = rng.normal(size=time.size)
    sounds = {
        "silence": np.zeros(time.size),
        "hum of the last bit": np.sign(noise) / 32768,
        "quiet noise (-60 dB)": noise * 1e-3,
        "white noise": noise * 0.2,
        "loud noise, clipped": np.clip(noise * 2, -1, 1),
        "one tone": 0.5 * np.sin(2 * np.pi * 440 * time),
    }
    for name, samples in sounds.items():
        stream = io.BytesIO()
        with wave.open(stream, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(_RATE)
            file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
        yield NonsenseInput(name, stream.getvalue(), "audio/wav")


def _texts(head: HeadSpec, rng: np.random.Generator) -> Iterator[NonsenseInput]:
    letters = list("abcdefghijklmnopqrstuvwxyz")

    def gibberish(words: int) -> str:
        return " ".join("".join(rng.choice(letters, rng.integers(3, 10))) for _ in range(words))

    texts = {
        "random letters": gibberish(12),
        "keyboard mashing": "asdkfj qwoeiru zxmcnv lkjasdf qpwoei zmxncb asldkfj",
        "one letter": "x x x x x x x x x x x x",
        "punctuation": "... !!! ??? ;;; ### ---",
        "hexadecimal": " ".join(rng.bytes(8).hex() for _ in range(8)),
        "digits": " ".join(str(n) for n in rng.integers(0, 10**6, 24)),
    }
    parameters: Any = preprocessor_for(head).parameters
    for name, text in texts.items():
        pair = {"text": text, "text_pair": gibberish(12)}
        yield _from_json(name, pair if parameters.pair else text)


def _depths(_: HeadSpec, rng: np.random.Generator) -> Iterator[NonsenseInput]:
    shape = (24, 240, 320)
    yield _npy("constant, 2 m", np.full(shape, 2000, np.uint16))
    yield _npy("no data", np.zeros(shape, np.uint16))
    yield _npy("white noise", rng.integers(500, 4000, shape).astype(np.uint16))
    yield _npy("beyond the sensor", np.full(shape, 30_000, np.uint16))
    tilted = np.broadcast_to(np.linspace(1000, 3000, shape[2]), shape)
    yield _npy("a wall at an angle", tilted.astype(np.uint16))


def _clouds(_: HeadSpec, rng: np.random.Generator) -> Iterator[NonsenseInput]:
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 32)] * 2), -1).reshape(-1, 2)
    clouds = {
        "noise in a cube": rng.uniform(-1, 1, (1024, 3)),
        "normal noise": rng.normal(size=(1024, 3)),
        "three points": rng.uniform(-1, 1, (3, 3)),
        "one point, repeated": np.ones((1024, 3)),
        "a line": np.linspace(0, 1, 1024)[:, None] * np.ones(3),
        "a plane": np.concatenate([grid, np.zeros((len(grid), 1))], axis=1),
    }
    for name, points in clouds.items():
        yield _from_json(name, points.round(5).tolist())


def _series(_: HeadSpec, rng: np.random.Generator) -> Iterator[NonsenseInput]:
    hours = np.arange(400)
    daily = 10 + 3 * np.sin(hours * 2 * np.pi / 24)
    series = {
        "constant": np.full(400, 5.0),
        "shuffled": rng.permutation(daily),
        "white noise": rng.normal(size=400),
        "one spike": np.where(hours == 200, 1e6, 0.0),
    }
    for name, values in series.items():
        yield _from_json(name, values.tolist())


def _rows(head: HeadSpec, rng: np.random.Generator) -> Iterator[NonsenseInput]:
    parameters: Any = preprocessor_for(head).parameters
    columns = parameters.columns

    def row(number: Callable[[Any], Any], category: str | None) -> dict[str, Any]:
        return {c.name: number(c) if c.kind == "number" else category for c in columns}

    yield _from_json("all cells missing", [row(lambda _: None, None)])
    yield _from_json("unknown words, means", [row(lambda c: c.mean, "qqq")])
    yield _from_json("a thousand deviations", [row(lambda c: c.mean + 1000 * c.std, "qqq")])
    random = {
        c.name: c.mean + 30 * c.std * rng.normal()
        if c.kind == "number" else str(rng.choice(np.array(c.categories)))
        for c in columns
    }  # fmt: skip
    yield _from_json("random cells", [random])


def _molecules(_: HeadSpec, __: np.random.Generator) -> Iterator[NonsenseInput]:
    molecules = {
        "one metal atom": "[U]",
        "forty salts": ".".join(["[Na+].[Cl-]"] * 40),
        "a cage of silicon": "[Si]12[Si][Si]1[Si][Si]2",
        "a chain of 120 carbons": "C" * 120,
        "metals in a ring": "[Pt]1[Au][Hg][Pb]1",
    }
    for name, smiles in molecules.items():
        yield NonsenseInput(name, smiles.encode(), "text/plain")


def _motions(head: HeadSpec, rng: np.random.Generator) -> Iterator[NonsenseInput]:
    parameters: Any = preprocessor_for(head).parameters
    channels: Sequence[str] = parameters.channels
    count = 3 * int(parameters.rate_hz)
    signals = {
        "all zero": np.zeros((count, len(channels))),
        "constant": np.ones((count, len(channels))),
        "white noise": rng.normal(size=(count, len(channels))),
        "strong noise": 20 * rng.normal(size=(count, len(channels))),
        "alternating": np.tile([[-3.0], [3.0]], (count // 2, len(channels))),
    }
    for name, signal in signals.items():
        columns = {c: signal[:, i].round(5).tolist() for i, c in enumerate(channels)}
        yield _from_json(name, columns)


def _cubes(head: HeadSpec, rng: np.random.Generator) -> Iterator[NonsenseInput]:
    shape = (9, 9, head.inputs[0].shape[-1])
    yield _npy("reflectances of 0 to 1", rng.uniform(0, 1, shape).astype(np.float32))
    yield _npy("ten times the range", rng.integers(20_000, 32_000, shape).astype(np.int16))
    yield _npy("negative", -rng.integers(100, 2000, shape).astype(np.int16))
    yield _npy("one value", np.full(shape, 1500, np.int16))
    yield _npy("noise in the range", rng.integers(500, 5000, shape).astype(np.int16))


_MAKERS: Mapping[Modality, Callable[[HeadSpec, np.random.Generator], Iterator[NonsenseInput]]] = {
    Modality.IMAGE: _pictures,
    Modality.VIDEO: _videos,
    Modality.AUDIO: _sounds,
    Modality.TEXT: _texts,
    Modality.DEPTH: _depths,
    Modality.POINTCLOUD: _clouds,
    Modality.TIMESERIES: _series,
    Modality.TABULAR: _rows,
    Modality.GRAPH: _molecules,
    Modality.XRAY: _grey_pictures,
    Modality.INFRARED: _grey_pictures,
    Modality.IMU: _motions,
    Modality.HYPERSPECTRAL: _cubes,
}
