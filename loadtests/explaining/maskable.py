"""Inputs in their JSON form, masked at places that an explanation names.

The masks are made here of the input as it is sent, not of the network's tensors: what is checked
is what a caller does who takes an answer's coordinates at their word.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image

Place = Mapping[str, Any]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class MaskableInput:
    """One input.

    Attributes:
        value: Its JSON form.
        masked: A function that returns the JSON form with some places masked.
    """

    value: Any
    masked: Callable[[Sequence[Place]], Any]


def picture(pixels: Array) -> MaskableInput:
    """Return a uint8 picture (height, width[, 3]); boxes get the mean colour of the picture."""

    def masked(places: Sequence[Place]) -> Any:
        changed = pixels.copy()
        for place in places:
            _fill(changed, place["box"], pixels.mean(axis=(0, 1)))
        return _png(changed)

    return MaskableInput(_png(pixels), masked)


def depth(millimetres: Array) -> MaskableInput:
    """Return uint16 depths (frames, height, width); boxes get what is farthest at the pixel."""
    farthest = millimetres.max(axis=0)

    def masked(places: Sequence[Place]) -> Any:
        changed = millimetres.copy()
        for place in places:
            box = place["box"]
            rows, columns = slice(box["ymin"], box["ymax"]), slice(box["xmin"], box["xmax"])
            frames = slice(place["first_frame"], place["last_frame"] + 1)
            changed[frames, rows, columns] = farthest[rows, columns]
        return _npy(changed)

    return MaskableInput(_npy(millimetres), masked)


def sound(samples: Array, rate_hz: int) -> MaskableInput:
    """Return a mono recording; spans of it become silent."""

    def masked(places: Sequence[Place]) -> Any:
        changed = samples.copy()
        for place in places:
            changed[int(place["start"] * rate_hz) : int(place["end"] * rate_hz)] = 0
        return _wav(changed, rate_hz)

    return MaskableInput(_wav(samples, rate_hz), masked)


def motion(signal: Array, channels: Sequence[str], rate_hz: float) -> MaskableInput:
    """Return a recording (samples, channels); spans of it stay at the channels' means."""

    def masked(places: Sequence[Place]) -> Any:
        changed = signal.copy()
        for place in places:
            start, stop = (round(place[edge] * rate_hz) for edge in ("start", "end"))
            changed[start:stop] = signal.mean(axis=0)
        return _columns(changed, channels)

    return MaskableInput(_columns(signal, channels), masked)


def text(sentence: str) -> MaskableInput:
    """Return a text; words are left out."""

    def masked(places: Sequence[Place]) -> Any:
        kept = list(sentence)
        for place in places:
            for index in range(place["start"], place["end"]):
                kept[index] = " "
        return " ".join("".join(kept).split()) or "."

    return MaskableInput(sentence, masked)


def table_row(row: Mapping[str, Any]) -> MaskableInput:
    """Return a row of a table; values are missing."""

    def masked(places: Sequence[Place]) -> Any:
        hidden = {place["column"] for place in places}
        return {name: None if name in hidden else value for name, value in row.items()}

    return MaskableInput(dict(row), masked)


def points(cloud: Array) -> MaskableInput:
    """Return a cloud (points, 3); points are left out."""

    def masked(places: Sequence[Place]) -> Any:
        kept = np.ones(len(cloud), bool)
        for place in places:
            kept[place["points"]] = False
        return cloud[kept].tolist()

    return MaskableInput(cloud.tolist(), masked)


def _fill(pixels: Array, box: Mapping[str, int], value: Array) -> None:
    pixels[box["ymin"] : box["ymax"], box["xmin"] : box["xmax"]] = value


def _columns(signal: Array, channels: Sequence[str]) -> dict[str, list[float]]:
    return {name: column.tolist() for name, column in zip(channels, signal.T, strict=True)}


def _png(pixels: Array) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _npy(array: Array) -> str:
    file = io.BytesIO()
    np.save(file, array)
    return base64.b64encode(file.getvalue()).decode()


def _wav(samples: Array, rate_hz: int) -> str:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV", subtype="FLOAT")
    return base64.b64encode(file.getvalue()).decode()
