"""Maps of numbers as files: PNG of 8 or 16 bits, TIFF, NPY -> real values with NaN."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from omnivec2.training.data.annotations.picture_index import list_pictures

_MAP_WORDS = re.compile(r"(?i)[._-]*(?:depth|depths|map|disparity|height|gt|groundtruth|target)$")
_PICTURE_WORDS = re.compile(r"(?i)[._-]*(?:image|img|rgb|color|colors)$")
"""How tools mark the names of both: ``0001_colors.png``, ``0001_depth.png``."""
_ARRAY = ".npy"


def match_maps(pictures: Path, maps: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Find the map of each picture by its name, without what marks it as one.

    Args:
        pictures: The folder of pictures, at any depth.
        maps: The folder of maps; it may be the same.

    Returns:
        The pairs of picture and map, in the order of the pictures, and the pictures without one.
    """
    files = [*list_pictures(maps), *sorted(maps.rglob(f"*{_ARRAY}"))]
    if pictures == maps:
        files = [file for file in files if _MAP_WORDS.search(file.stem)]
    known = {_name(file, maps, _MAP_WORDS): file for file in files}
    own = [file for file in list_pictures(pictures) if pictures != maps or file not in files]
    found = [(file, known.get(_name(file, pictures, _PICTURE_WORDS))) for file in own]
    pairs = [(picture, file) for picture, file in found if file is not None]
    return pairs, [picture for picture, file in found if file is None]


def _name(file: Path, root: Path, words: re.Pattern[str]) -> str:
    """Return a file's place below its root, without its ending and what marks its kind."""
    stem = words.sub("", file.stem) or file.stem
    return str(file.relative_to(root).with_name(stem))


def read_map(file: Path, *, scale: float, missing: Sequence[float]) -> Array:
    """Read a map in real units.

    Args:
        file: The map: grey of 8 or 16 bits, TIFF of floats, or NPY (height, width).
        scale: The factor from what the file holds to the unit.
        missing: The value that the file holds where nothing was measured.

    Returns:
        float32 (height, width), NaN where nothing was measured.

    Raises:
        ArtifactError: It holds no map.
    """
    values = _read(file)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim != 2:
        raise ArtifactError(f"{file}: expected one number per pixel, got shape {values.shape}")
    exact = values.astype(np.float64)
    known = np.isfinite(exact) & ~np.isin(exact, list(missing))
    if not known.any():
        raise ArtifactError(f"{file}: no pixel has a value")
    return np.where(known, exact * scale, np.nan).astype(np.float32)


def _read(file: Path) -> Array:
    if file.suffix == _ARRAY:
        try:
            return np.asarray(np.load(file, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{file}: not a readable array: {error}") from error
    from PIL import Image

    try:
        with Image.open(file) as picture:
            return np.asarray(picture)
    except (OSError, ValueError, SyntaxError) as error:
        raise ArtifactError(f"{file}: not a readable picture: {error}") from error
