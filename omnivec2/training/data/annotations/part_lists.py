"""The parts of a data set in VOC's form: lists of names in ``ImageSets``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from omnivec2.training.data.annotations.picture_index import PICTURE_SUFFIXES

PARTS = ("train", "val", "test")

_FOLDERS = ("ImageSets/Main", "ImageSets/Segmentation", "ImageSets")


def part_list(folder: Path, part: str, places: tuple[str, ...] = _FOLDERS) -> Path | None:
    """Return the file with the names of a part, or None.

    Args:
        folder: The folder of the data set.
        part: The part.
        places: The folders in it to look in.
    """
    files = [folder / place / f"{part}.txt" for place in places]
    return next((file for file in files if file.is_file()), None)


def listed_parts(folder: Path) -> Mapping[str, str]:
    """Return name -> part of what the lists for segmentation name; empty without a list of train.

    Args:
        folder: The folder of the data set.
    """
    found: dict[str, str] = {}
    for part in PARTS:
        listing = part_list(folder, part, ("ImageSets/Segmentation", "ImageSets"))
        if listing is None:
            if part == "train":
                return {}
            continue
        for line in listing.read_text(encoding="utf-8-sig").splitlines():
            if line.split():
                name = Path(line.split()[0])
                is_file = name.suffix.lower() in PICTURE_SUFFIXES
                found[(name.with_suffix("") if is_file else name).as_posix()] = part
    return found
