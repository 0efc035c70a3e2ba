"""The names of parts as data sets spell them, in folders, files and cells."""

from __future__ import annotations

import re
from pathlib import Path

SPELLINGS = {
    "train": ("train", "training", "fit"),
    "val": ("val", "valid", "validation", "dev", "development", "trial"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""The names of parts as data sets spell them."""


def part_of_name(name: str) -> str | None:
    """Return the part that a folder or a cell of a usual spelling names, or None."""
    lower = name.lower()
    return next((part for part, names in SPELLINGS.items() if lower in names), None)


def part_of_words(name: str) -> str | None:
    """Return the part that a word of a name says, as in ``instances_train2017``, or None.

    Years and numbers count for nothing; of several parts, as in ``train_val``, none is returned.
    """
    words = re.findall(r"[A-Za-z]+", name)
    parts = {part for word in words if (part := part_of_name(word)) is not None}
    return parts.pop() if len(parts) == 1 else None


_NO_DATA = frozenset({"__macosx", "@eadir", "$recycle.bin", "lost+found"})
"""Folders that archives and file servers leave behind, in lower case."""


def part_folders(folder: Path) -> dict[str | None, Path]:
    """Return the folders of parts, if train and another one are there, or no other folders.

    A folder that holds nothing else than ``train`` and folders of no part has classes: trains may
    be one of them.
    """
    parts: dict[str | None, Path] = {
        p.name: p for p in data_folders(folder) if part_of_name(p.name)
    }
    found = {part_of_name(str(name)) for name in parts}
    is_whole = len(found) > 1 or len(parts) == len(data_folders(folder))
    return parts if "train" in found and is_whole else {}


def data_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that may hold data, in the order of their names."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".") and path.name.lower() not in _NO_DATA
    ]
