"""YOLO's folders: ``images/``, ``labels/`` and ``data.yaml``.

Format: docs.ultralytics.com, "Object detection datasets"; also as Roboflow and CVAT write it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.training.data.annotations.annotated_boxes import (
    AnnotatedPicture,
    Outline,
    clip_corners,
    stack_boxes,
)
from omnivec2.training.data.annotations.picture_index import list_pictures
from omnivec2.training.data.annotations.problems import Report, raise_problem

_PARTS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test",)}
"""The names of the parts, and how tools call their folders."""

_NO_LABELS = frozenset({"classes.txt"})
"""Texts that tools write into folders of labels."""

_OVERHANG = 0.01
"""By so much a box may reach over the picture's edge, from rounding; it is clipped."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class YoloFolder:
    """A data set in YOLO's form.

    Attributes:
        labels: The names of the classes by number.
        pictures: The pictures of each part; of the part ``all`` where none are given.
        keypoints: The (points, numbers of each) of a row's keypoints, which are left out.
    """

    labels: tuple[str, ...]
    pictures: Mapping[str, tuple[Path, ...]]
    keypoints: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Settings:
    file: Path
    values: Mapping[str, Any] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes, given as a list or by number."""
        names = self.values.get("names")
        if isinstance(names, Mapping):
            if sorted(map(str, names)) != sorted(map(str, range(len(names)))):
                raise ArtifactError(
                    f"{self.file}: names: the numbers are {', '.join(map(str, names))}; expected "
                    f"every number from 0 to {len(names) - 1} once, as label files count"
                )
            names = [
                {str(key): name for key, name in names.items()}[str(i)] for i in range(len(names))
            ]
        if not isinstance(names, list) or not names:
            raise ArtifactError(f"{self.file}: names: expected the classes as a list or by number")
        count = self.values.get("nc", len(names))
        if count != len(names):
            raise ArtifactError(f"{self.file}: nc is {count}, but there are {len(names)} names")
        return tuple(map(str, names))


def read_yolo_folder(path: Path, labels: Sequence[str] = ()) -> YoloFolder:
    """Find the classes and the pictures of a data set.

    Args:
        path: The folder, or its ``data.yaml``.
        labels: The names of the classes, where no ``data.yaml`` or ``classes.txt`` has them.

    Raises:
        ArtifactError: There are no names, or no pictures.
    """
    settings = _find_settings(path)
    root = path if path.is_dir() else path.parent
    names = settings.names() if settings else _names_of_text(root) or tuple(labels)
    if not names:
        raise ArtifactError(
            f"{root}: the names of the classes are missing: give `labels`, a data.yaml or a "
            "classes.txt"
        )
    pictures: dict[str, tuple[Path, ...]] = {}
    if settings is not None:
        for part, called in _PARTS.items():
            value = next((settings.values[n] for n in called if settings.values.get(n)), None)
            if value is not None:
                pictures[part] = _pictures_of(settings, part, value)
    pictures = pictures or _pictures_by_folder(root)
    if not any(pictures.values()):
        raise ArtifactError(f"{path}: no pictures; expected images/ and labels/, or a data.yaml")
    keypoints = settings.values.get("kpt_shape") if settings else None
    shape = (int(keypoints[0]), int(keypoints[1])) if keypoints else None
    return YoloFolder(names, pictures, shape)


def _find_settings(path: Path) -> _Settings | None:
    import yaml

    files = [path] if path.is_file() else sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    preferred = [file for file in files if file.stem in ("data", "dataset")] or files
    for file in preferred:
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ArtifactError(f"{file}: not valid YAML: {error}") from error
        if isinstance(values, dict) and "names" in values:
            return _Settings(file, values)
    if path.is_file():
        raise ArtifactError(f"{path}: expected YOLO's data.yaml, with the field 'names'")
    return None


def _names_of_text(root: Path) -> tuple[str, ...]:
    """Read ``classes.txt`` (LabelImg, Label Studio) or ``obj.names`` (Darknet)."""
    for name in ("classes.txt", "labels/classes.txt", "obj.names", "_darknet.labels"):
        if (file := root / name).is_file():
            lines = file.read_text(encoding="utf-8-sig").splitlines()
            return tuple(line.strip() for line in lines if line.strip())
    return ()


def _pictures_of(settings: _Settings, part: str, value: Any) -> tuple[Path, ...]:
    """Return the pictures of one part: folders, or text files with a path in each line."""
    found: list[Path] = []
    for entry in value if isinstance(value, list) else [value]:
        place = _resolve(settings, part, str(entry))
        if place.is_dir():
            found += list_pictures(place)
            continue
        for number, line in enumerate(place.read_text(encoding="utf-8-sig").splitlines(), 1):
            if line.strip():
                picture = _first_existing(line.strip(), (place.parent, *_roots(settings)))
                if picture is None:
                    raise ArtifactError(f"{place}:{number}: no such picture: {line.strip()}")
                found.append(picture)
    return tuple(dict.fromkeys(found))


def _resolve(settings: _Settings, part: str, entry: str) -> Path:
    place = _first_existing(entry, _roots(settings))
    if place is None:
        roots = ", ".join(map(str, _roots(settings)))
        raise ArtifactError(
            f"{settings.file}: {part}: {entry!r} is not there; looked in {roots}; leave the line "
            f"out if there is no part {part}"
        )
    return place


def _roots(settings: _Settings) -> tuple[Path, ...]:
    """Return the folders that paths may be relative to: ``path``, and where the file lies now."""
    own = settings.file.parent
    stated = settings.values.get("path")
    return (own / str(stated), own) if stated else (own,)


def _first_existing(entry: str, roots: Sequence[Path]) -> Path | None:
    # Roboflow writes ../train/images for a folder beside data.yaml.
    trimmed = entry.replace("\\", "/")
    while trimmed.startswith(("../", "./")):
        trimmed = trimmed.partition("/")[2]
    tries = [root / name for name in dict.fromkeys((entry, trimmed)) for root in roots]
    return next((place for place in tries if place.exists()), None)


def _pictures_by_folder(root: Path) -> dict[str, tuple[Path, ...]]:
    """Return the pictures below ``images/train`` or ``train/images`` and so on, or all as one."""
    base = next((p for p in (root / "images", root / "JPEGImages") if p.is_dir()), root)
    found: dict[str, tuple[Path, ...]] = {}
    for part, called in _PARTS.items():
        places = [base / name for name in called] + [root / name for name in called]
        pictures = [
            p for place in dict.fromkeys(places) if place.is_dir() for p in list_pictures(place)
        ]
        if pictures:
            found[part] = tuple(dict.fromkeys(pictures))
    return found if "train" in found else {"all": tuple(list_pictures(base))}


def label_file(picture: Path) -> Path:
    """Return the place of a picture's rows: ``labels`` instead of ``images``, or beside it."""
    parts = list(picture.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index].lower() in ("images", "jpegimages"):
            moved = Path(*parts[:index], "labels", *parts[index + 1 :]).with_suffix(".txt")
            if moved.is_file() or not picture.with_suffix(".txt").is_file():
                return moved
            break
    return picture.with_suffix(".txt")


def labels_without_picture(pictures: Sequence[Path]) -> list[Path]:
    """Return the files of labels that lie beside those of the pictures and belong to none."""
    used = {label_file(picture) for picture in pictures}
    folders = dict.fromkeys(file.parent for file in used)
    return [
        file
        for folder in folders
        for file in sorted(folder.glob("*.txt"))
        if file not in used and file.name not in _NO_LABELS and _is_of_labels(file)
    ]


def _is_of_labels(file: Path) -> bool:
    """Whether a text begins with a row of numbers, as lists of pictures and notes do not."""
    with file.open(encoding="utf-8", errors="replace") as text:
        return len(_numbers(text.readline())) > 4


def read_yolo_picture(
    picture: Path,
    labels: Sequence[str],
    *,
    keypoints: tuple[int, int] | None = None,
    report: Report = raise_problem,
) -> AnnotatedPicture:
    """Read the rows of a picture; without a file, or with an empty one, it shows no object.

    Args:
        picture: The picture's file.
        labels: The names of the classes.
        keypoints: The form of keypoints behind each box; they are left out.
        report: The callback for bad rows.
    """
    file = label_file(picture)
    boxes: list[tuple[int, Box]] = []
    outlines: list[Outline] = []
    lines: list[str] = []
    if file.is_file():
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            report(str(file), "expected text: a class and four numbers in each line")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{file}:{number}"
        values = _numbers(line)
        if (wrong := _mistake(values, line, len(labels))) is not None:
            report(place, wrong)
            continue
        label, rest = int(values[0]), values[1:]
        if keypoints is not None and len(rest) == 4 + keypoints[0] * keypoints[1]:
            rest = rest[:4]
        if len(rest) == 4:
            x, y, width, height = rest
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        elif len(rest) >= 6 and len(rest) % 2 == 0:
            polygon = np.array(rest).reshape(-1, 2)
            outlines.append(Outline(label, polygons=(polygon.clip(0, 1),)))
            corners = (*polygon.min(axis=0).tolist(), *polygon.max(axis=0).tolist())
        else:
            report(
                place,
                f"{len(values)} numbers: expected a class and x, y, width, height, or "
                "a class and a polygon of three or more points",
            )
            continue
        if (box := clip_corners(corners)) is None:
            report(place, "the box has no area")
            continue
        boxes.append((label, box))
    stacked, numbers = stack_boxes(boxes)
    return AnnotatedPicture(picture, str(file), stacked, numbers, tuple(labels), tuple(outlines))


def _numbers(line: str) -> list[float]:
    try:
        return [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        return []


def _mistake(values: Sequence[float], line: str, classes: int) -> str | None:
    """Return what is wrong with the numbers of a row, or None."""
    if not values or not all(map(math.isfinite, values)):
        return f"expected a class and finite numbers, got {line.strip()[:60]!r}"
    label = values[0]
    if label != int(label) or not 0 <= label < classes:
        return f"class {label:g}: expected a number from 0 to {classes - 1}"
    if max(values[1:5], default=0) > 1 + _OVERHANG or min(values[1:5], default=0) < -_OVERHANG:
        return (
            f"{line.strip()[:60]!r}: expected shares of the picture from 0 to 1; pixels must be "
            "divided by its width and height"
        )
    return None
