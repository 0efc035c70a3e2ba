"""Masks as pictures: grey indices, palettes and colours -> the class of every pixel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from omnivec2.training.data.annotations.class_colours import ClassMap
from omnivec2.training.data.annotations.picture_index import list_pictures

_MASK_WORDS = re.compile(
    r"(?i)[._-]*(?:mask|masks|label|labels|labelids|gt|seg|segmentation|annotation|l|groundtruth)$"
)
"""How tools mark the names of masks: ``0001_mask.png``, ``0001_L.png``."""

_PICTURE_WORDS = re.compile(r"(?i)[._-]*(?:image|img|rgb|leftImg8bit|color)$")


def read_mask_codes(file: Path, *, coloured: bool) -> Array:
    """Read what a mask holds of every pixel: its index, or its colour as 0xRRGGBB.

    Args:
        file: The mask: grey of 8 or 16 bits, a palette, or colours; transparency is left out.
        coloured: Whether colours are wanted; a palette has both.

    Returns:
        int64 (height, width).

    Raises:
        ArtifactError: It is no picture, or has colours where indices are expected.
    """
    from PIL import Image

    try:
        with Image.open(file) as picture:
            if coloured:
                pixels = np.asarray(picture.convert("RGB")).astype(np.int64)
                return (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
            values = np.asarray(picture)
            mode = picture.mode
    except (OSError, ValueError, SyntaxError) as error:
        raise ArtifactError(f"{file}: not a readable picture: {error}") from error
    if values.ndim == 3:
        colours = values[..., : 1 if mode == "LA" else 3]
        if (colours != colours[..., :1]).any():
            raise ArtifactError(
                f"{file}: the mask has colours; give the colour of each class in `classes`"
            )
        values = colours[..., 0]
    return np.asarray(values).astype(np.int64)


def read_mask(file: Path, classes: ClassMap, *, others_ignored: bool = False) -> Array:
    """Read a mask as class indices.

    Args:
        file: The mask's file.
        classes: The classes, by index or colour.
        others_ignored: Whether indices and colours of no class are ignored.

    Returns:
        uint8 (height, width); 255 where no class is.

    Raises:
        ArtifactError: It is no picture, or a pixel has an index or colour of no class.
    """
    codes = read_mask_codes(file, coloured=classes.is_coloured)
    known, becomes = classes.table
    places = np.searchsorted(known, codes).clip(max=len(known) - 1)
    fits = known[places] == codes
    if not others_ignored and not fits.all():
        row, column = np.argwhere(~fits)[0]
        code = int(codes[row, column])
        shown = f"colour #{code:06x}" if classes.is_coloured else f"value {code}"
        raise ArtifactError(
            f"{file}: pixel ({column}, {row}) has {shown}, which is no class; add it to `classes` "
            f"or to `ignore` ({int((~fits).sum()):,} such pixels)"
        )
    return np.where(fits, becomes[places], np.uint8(255)).astype(np.uint8)


def values_of_masks(files: Sequence[Path]) -> list[int]:
    """Return the indices that occur in masks, in ascending order."""
    found: set[int] = set()
    for file in files:
        found |= set(np.unique(read_mask_codes(file, coloured=False)).tolist())
    return sorted(found)


def match_masks(pictures: Path, masks: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Match pictures and masks of two folders, or of one, by their names.

    A mask has the path of its picture, apart from the suffix and from words such as ``_mask``.

    Returns:
        The pairs in the order of the pictures, and the pictures without a mask.

    Raises:
        ArtifactError: There are no pairs, or a picture has several masks.
    """
    mask_files = list_pictures(masks)
    picture_files = list_pictures(pictures)
    if pictures == masks:
        mask_files = [file for file in mask_files if _MASK_WORDS.search(file.stem)]
        picture_files = [file for file in picture_files if file not in set(mask_files)]
    by_path: dict[str, list[Path]] = {}
    for file in mask_files:
        by_path.setdefault(_key(file, masks, _MASK_WORDS), []).append(file)
    exact = {_key(file, masks, None): file for file in mask_files}
    pairs: list[tuple[Path, Path]] = []
    without: list[Path] = []
    for picture in picture_files:
        mask = _mask_of(picture, pictures, exact, by_path)
        if mask is None:
            without.append(picture)
        else:
            pairs.append((picture, mask))
    if not pairs:
        raise ArtifactError(
            f"no picture of {pictures} has a mask of its name in {masks}; expected, for example, "
            "images/0001.jpg and masks/0001.png"
        )
    return pairs, without


def _mask_of(
    picture: Path, root: Path, exact: Mapping[str, Path], by_path: Mapping[str, list[Path]]
) -> Path | None:
    key = _key(picture, root, None)
    if key in exact:
        return exact[key]
    found = by_path.get(key) or by_path.get(_key(picture, root, _PICTURE_WORDS), [])
    if len(found) > 1:
        raise ArtifactError(f"{picture}: several masks: {', '.join(map(str, found))}")
    return found[0] if found else None


def _key(file: Path, root: Path, words: re.Pattern[str] | None) -> str:
    path = file.relative_to(root).with_suffix("")
    name = words.sub("", path.name) if words else path.name
    return (path.parent / (name or path.name)).as_posix().lower()
