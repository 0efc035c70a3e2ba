"""Maps of numbers as pictures that hold them: PNG of 16 bits with the line that undoes it."""

from __future__ import annotations

import base64
import io

import numpy as np
from pydantic import BaseModel, Field, JsonValue

from omnivec2.postprocess.numeric import Floats
from omnivec2.postprocess.resize import resized_map
from omnivec2.spec import Target

_LEVELS = 2**16 - 1


class TargetMap(BaseModel):
    """A quantity in every pixel of the input: ``offset + step * pixel`` of the map."""

    label: str
    unit: str
    minimum: float
    maximum: float
    mean: float
    offset: float = Field(description="value of a pixel that is 0, in the unit")
    step: float = Field(description="difference of two levels of the map, in the unit")
    map: str = Field(description="base64 PNG of the input's size, 16 bits per pixel")


def describe_map(values: Floats, size: tuple[int, int], target: Target) -> dict[str, JsonValue]:
    """Return a map in the form of :class:`TargetMap`.

    Args:
        values: The values, (rows, columns), of any size.
        size: The (width, height) of the input in pixels.
        target: The quantity.
    """
    pixels = resized_map(values, size)
    low, high = float(pixels.min()), float(pixels.max())
    step = (high - low) / _LEVELS
    levels = np.zeros(pixels.shape) if step == 0 else (pixels - low) / step
    return {
        "label": target.name,
        "unit": target.unit,
        "minimum": low,
        "maximum": high,
        "mean": float(pixels.mean(dtype=np.float64)),
        "offset": low,
        "step": step,
        "map": _png(np.clip(np.rint(levels), 0, _LEVELS).astype(np.uint16)),
    }


def _png(levels: np.ndarray[tuple[int, int], np.dtype[np.uint16]]) -> str:
    # Imported late: most heads of numbers have no maps, and need no library of pictures.
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, format="PNG", compress_level=1)
    return base64.b64encode(stream.getvalue()).decode("ascii")
