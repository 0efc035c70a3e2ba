"""Pictures, X-ray and thermal pictures: square cells, each blurred away."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from omnivec2.explanations.grids import cells
from omnivec2.explanations.occlusion import Occlusion, Segment
from omnivec2.preprocess import Array, Prepared, Preprocessor, Sample
from omnivec2.preprocess.formats.pictures.raster import ResizeMode

_BLURS_PER_SIDE = 8
"""The deviation of the blur is this part of the picture's shorter side: about a cell."""


def occlude(preprocessor: Preprocessor[Any, Any], prepared: Prepared, most: int) -> Occlusion:
    """Cut a picture into cells; see the package."""
    pixels = prepared.samples[0]["pixels"]
    height, width = pixels.shape[:2]
    how: ResizeMode = getattr(preprocessor.parameters, "resize", "stretch")
    original = tuple(prepared.context["size"])
    grid = cells((width, height), (original[0], original[1]), how, most)
    blurred = _blurred(pixels)

    def mask(segment: int, sample: int) -> Sample:
        (top, bottom), (left, right) = grid[segment].rows, grid[segment].columns
        masked = pixels.copy()
        masked[top:bottom, left:right] = blurred[top:bottom, left:right]
        return {"pixels": masked}

    return Occlusion(
        "cells",
        "the picture, blurred so far that the cell shows nothing",
        [Segment({"box": cell.box}) for cell in grid],
        mask,
        {"width": original[0], "height": original[1]},
    )


def _blurred(pixels: Array) -> Array:
    radius = min(pixels.shape[:2]) / _BLURS_PER_SIDE
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius))).reshape(pixels.shape)
