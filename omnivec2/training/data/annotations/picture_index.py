"""The pictures of a folder, found by the names that annotations give them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".webp",
     ".avif", ".heic", ".heif"}
)  # fmt: skip
"""The suffixes of pictures, in lower case."""


def is_picture(path: Path) -> bool:
    """Whether a file has a picture's suffix; hidden files, such as macOS's ``._x.jpg``, do not."""
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def list_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder and of the folders in it, in the order of their paths."""
    return sorted(path for path in folder.rglob("*") if is_picture(path) and path.is_file())


class PictureIndex:
    """A finder of pictures by the file names of annotations.

    Names are tried as absolute paths and relative to each folder; then, since annotations are
    often moved without their folders, by the end of the path, without regard to case.

    Args:
        folders: The folders to look in; those that do not exist are left out.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = defaultdict(list)
        for path in dict.fromkeys(p for folder in self.folders for p in list_pictures(folder)):
            found[path.name.lower()].append(path)
            found[path.stem.lower()].append(path)
        return found

    def find(self, name: str) -> Path | None:
        """Return the picture of a name, or None if there is none or several could be meant."""
        parts = _parts(name)
        if not parts:
            return None
        if (direct := Path(name)).is_absolute() and direct.is_file():
            return direct
        for folder in self.folders:
            if (inside := folder.joinpath(*parts)).is_file():
                return inside
        last = parts[-1].lower()
        candidates = self._by_name.get(last) or self._by_name.get(PurePosixPath(last).stem) or []
        return _best(candidates, parts)


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a path that any system may have written, without its root."""
    path = PureWindowsPath(name)  # reads both kinds of slashes
    return tuple(part for part in path.parts if part != path.anchor and part not in ("", "."))


def _best(candidates: Sequence[Path], parts: Sequence[str]) -> Path | None:
    """Return the only candidate, or the only one that agrees with most of the path's end."""
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    wanted = [part.lower() for part in parts[:-1]][::-1]

    def agreement(path: Path) -> int:
        own = [part.lower() for part in path.parent.parts][::-1]
        return next(
            (i for i, pair in enumerate(zip(wanted, own, strict=False)) if pair[0] != pair[1]),
            min(len(wanted), len(own)),
        )

    ranked = sorted(candidates, key=agreement, reverse=True)
    return ranked[0] if agreement(ranked[0]) > agreement(ranked[1]) else None
