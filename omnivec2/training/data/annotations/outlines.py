"""Outlines of objects -> a mask with the class of every pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from omnivec2.training.data.annotations.annotated_boxes import Outline


def paint_outlines(
    outlines: Sequence[Outline], size: tuple[int, int], background: int, *, shift: int = 0
) -> Array:
    """Return a mask, uint8 (height, width), in which smaller objects lie above larger ones.

    Args:
        outlines: The objects of a picture.
        size: The (width, height) of the mask in pixels.
        background: The value of pixels that belong to no object.
        shift: The number that is added to the labels, 1 where the background is class 0.

    Raises:
        ArtifactError: A run-length encoding is damaged, or of another size.
    """
    covers = [(outline.label, _cover(outline, size)) for outline in outlines]
    covers.sort(key=lambda pair: -int(pair[1].sum()))
    mask = np.full((size[1], size[0]), background, dtype=np.uint8)
    for label, cover in covers:
        mask[cover] = label + shift
    return mask


def _cover(outline: Outline, size: tuple[int, int]) -> Array:
    """Return which pixels an object covers, bool (height, width)."""
    from pycocotools import mask as coco_masks

    width, height = size
    if outline.run_lengths is not None:
        code = dict(outline.run_lengths)
        if isinstance(code["counts"], list):
            code = coco_masks.frPyObjects(code, height, width)
        try:
            cover = coco_masks.decode(code)
        except (ValueError, TypeError, SystemError) as error:
            raise ArtifactError(f"a run-length encoding is damaged: {error}") from error
        if cover.shape != (height, width):
            raise ArtifactError(
                f"a run-length encoding of {cover.shape[1]} x {cover.shape[0]} pixels belongs to "
                f"a picture of {width} x {height}"
            )
        return np.asarray(cover, dtype=bool)
    flat = [(polygon * size).ravel().tolist() for polygon in outline.polygons]
    merged = coco_masks.merge(coco_masks.frPyObjects(flat, height, width))
    return np.asarray(coco_masks.decode(merged), dtype=bool)
