"""Checks of the sizes of pictures whose places matter: of boxes and of masks."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import Prepared
from omnivec2.spec import PreprocessSpec

SCENE_PARAMETERS: Mapping[str, JsonValue] = {"height": 192, "width": 256, "resize": "stretch"}
"""The size at which scenes are read unless a recipe says otherwise."""

_SAME_ASPECT = 0.02
"""Proportions that differ by less (relative) are the same: sizes are rounded."""


def check_sides(preprocess: PreprocessSpec) -> None:
    """Refuse parameters that would move boxes and masks, or that the network cannot read.

    Raises:
        ArtifactError: The sides are no multiples of a cell, or pictures would be cropped.
    """
    # Imported late: it loads torch, which measuring a head does not need.
    from omnivec2.network.tokenizers.stem import STRIDE

    sides = [preprocess.parameters.get(side) for side in ("height", "width")]
    for side, value in zip(("height", "width"), sides, strict=True):
        if isinstance(value, int) and (value < STRIDE or value % STRIDE):
            raise ArtifactError(
                f"preprocess: {side}: {value}: expected a multiple of {STRIDE}, the side of a cell"
            )
    if preprocess.parameters.get("resize") == "crop":
        raise ArtifactError("preprocess: resize: expected stretch: crop would cut off objects")


def check_declared_size(declared: tuple[int, int] | None, prepared: Prepared) -> None:
    """Refuse an annotation that was made for a picture of other proportions.

    Raises:
        InvalidInputError: The proportions differ; the message tells a turned picture.
    """
    size = prepared.context.get("size")
    if declared is None or size is None or have_same_aspect(declared, size):
        return
    own = f"{size[0]} x {size[1]}"
    if have_same_aspect((declared[1], declared[0]), size):
        raise InvalidInputError(
            f"the annotation is for a picture of {declared[0]} x {declared[1]} pixels, which is "
            f"{own} when its EXIF orientation is applied; save it upright and annotate it so"
        )
    raise InvalidInputError(
        f"the annotation is for a picture of {declared[0]} x {declared[1]} pixels, this one has "
        f"{own}"
    )


def have_same_aspect(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) have the same proportions."""
    cross = first[0] * second[1], first[1] * second[0]
    # A pixel of rounding counts for more in small pictures.
    tolerance = max(_SAME_ASPECT, 1 / min(*first, *second))
    return abs(cross[0] - cross[1]) <= tolerance * max(cross)
