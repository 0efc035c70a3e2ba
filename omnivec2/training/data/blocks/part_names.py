"""The names of parts as data sets spell them, in folders, files and cells."""

from __future__ import annotations

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


def part_folders(folder: Path) -> dict[str | None, Path]:
    """Return the folders of parts, if every folder has the name of one and train is there."""
    found = [p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    parts: dict[str | None, Path] = {p.name: p for p in found if part_of_name(p.name)}
    has_train = any(part_of_name(str(name)) == "train" for name in parts)
    return parts if has_train and len(parts) == len(found) else {}
