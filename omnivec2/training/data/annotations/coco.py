"""COCO's annotation files: instances with boxes, polygons and run lengths.

Format: "COCO data format", cocodataset.org; also as Roboflow, CVAT, Label Studio and Detectron2
write it.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from omnivec2.training.data.annotations.annotated_boxes import (
    AnnotatedPicture,
    Box,
    Outline,
    clip_corners,
    stack_boxes,
)
from omnivec2.training.data.annotations.coco_files import picture_folders
from omnivec2.training.data.annotations.picture_index import PictureIndex
from omnivec2.training.data.annotations.problems import Report, raise_problem


@dataclass(frozen=True)
class CocoFile:
    """An annotation file.

    Attributes:
        labels: The names of the classes, in the order of their ids.
        pictures: The pictures in the order of the file; those without objects are among them.
        crowds: The number of crowds: no objects to find, and none that a found box can miss.
        empty_boxes: The number of boxes without an area, which are left out.
        same_names: The names that several categories have; they are one class.
    """

    labels: tuple[str, ...]
    pictures: tuple[AnnotatedPicture, ...]
    crowds: int = 0
    empty_boxes: int = 0
    same_names: tuple[str, ...] = ()


def read_coco(
    path: Path,
    folders: Sequence[Path] = (),
    *,
    crowds: bool = False,
    report: Report = raise_problem,
) -> CocoFile:
    """Read an annotation file.

    Args:
        path: The JSON file.
        folders: The folders of its pictures; folders beside the file unless given.
        crowds: Whether annotations with ``iscrowd`` count; CVAT sets it on every painted mask.
        report: The callback for bad entries.

    Raises:
        ArtifactError: The file is no COCO file, or an entry is bad and ``report`` raises.
    """
    document = _load(path)
    names = _categories(path, document)
    index = PictureIndex(folders or picture_folders(path))
    reader = _Reader(path, names.labels, names.by_id, report, crowds)
    by_picture = reader.group_annotations(document)
    pictures = [
        read
        for number, image in enumerate(_entries(path, document, "images"))
        if (read := reader.picture(number, image, by_picture, index)) is not None
    ]
    return CocoFile(
        names.labels, tuple(pictures), reader.crowds, reader.empty_boxes, names.same_names
    )


def _load(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: not readable JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise ArtifactError(
            f"{path}: expected a COCO file: an object with lists 'images', 'annotations' and "
            "'categories'"
        )
    return document


def _entries(path: Path, document: Mapping[str, Any], name: str) -> list[Any]:
    entries = document.get(name, [])
    if not isinstance(entries, list):
        raise ArtifactError(f"{path}: {name}: expected a list")
    return entries


@dataclass(frozen=True)
class _Categories:
    labels: tuple[str, ...]
    by_id: Mapping[str, int]
    same_names: tuple[str, ...]


def _categories(path: Path, document: Mapping[str, Any]) -> _Categories:
    """Return the classes in the order of their ids, and the index of each id."""
    entries = _entries(path, document, "categories")
    found: dict[str, str] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or "id" not in entry or not str(entry.get("name", "")):
            raise ArtifactError(f"{path}: categories[{number}]: expected an id and a name")
        if str(entry["id"]) in found:
            raise ArtifactError(f"{path}: categories[{number}]: id {entry['id']} is given twice")
        found[str(entry["id"])] = str(entry["name"])
    if not found:
        raise ArtifactError(f"{path}: no categories; a COCO file of instances names its classes")
    order = sorted(found, key=lambda key: (not key.isdecimal(), key.zfill(20), key))
    labels = tuple(dict.fromkeys(found[key] for key in order))
    numbers = {name: index for index, name in enumerate(labels)}
    counts = Counter(found.values())
    repeated = tuple(name for name in labels if counts[name] > 1)
    return _Categories(labels, {key: numbers[name] for key, name in found.items()}, repeated)


class _Reader:
    """A reader of the entries of one file, which counts what it leaves out."""

    def __init__(
        self,
        path: Path,
        labels: tuple[str, ...],
        by_id: Mapping[str, int],
        report: Report,
        keep_crowds: bool,
    ) -> None:
        self.path, self.labels, self.by_id, self.report = path, labels, by_id, report
        self.keep_crowds = keep_crowds
        self.crowds = self.empty_boxes = 0
        self.place_of_id: dict[str, str] = {}

    def group_annotations(
        self, document: Mapping[str, Any]
    ) -> dict[str, list[tuple[str, Mapping[str, Any]]]]:
        """Return the annotations, with their places, by the id of their picture."""
        known = {
            str(image.get("id"))
            for image in _entries(self.path, document, "images")
            if isinstance(image, dict)
        }
        grouped: dict[str, list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
        for number, entry in enumerate(_entries(self.path, document, "annotations")):
            place = f"{self.path}: annotations[{number}]"
            if not isinstance(entry, dict):
                self.report(place, "expected an object")
            elif str(entry.get("image_id")) not in known:
                self.report(place, f"no picture has the id {entry.get('image_id')!r}")
            elif str(entry.get("category_id")) not in self.by_id:
                self.report(place, f"no category has the id {entry.get('category_id')!r}")
            else:
                grouped[str(entry["image_id"])].append((place, entry))
        return grouped

    def picture(
        self,
        number: int,
        image: Any,
        by_picture: Mapping[str, list[tuple[str, Mapping[str, Any]]]],
        index: PictureIndex,
    ) -> AnnotatedPicture | None:
        """Read one entry of ``images`` with its annotations; None if it is bad."""
        place = f"{self.path}: images[{number}]"
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
            self.report(place, "expected an object with a file_name")
            return None
        place = f"{place} ({image['file_name']})"
        # Without ids annotations match nothing, which is reported of them.
        other = self.place_of_id.setdefault(str(image.get("id", place)), f"images[{number}]")
        if other != f"images[{number}]":
            self.report(place, f"the id {image['id']} is that of {other}, too; expected one each")
            return None
        size = _size(image)
        if size is None:
            self.report(place, "expected a width and a height in pixels, both above 0")
            return None
        file = index.find(image["file_name"])
        if file is None:
            looked = ", ".join(map(str, index.folders)) or "no folder"
            self.report(place, f"no such picture, or several, in {looked}")
            return None
        boxes: list[tuple[int, Box]] = []
        crowds: list[tuple[int, Box]] = []
        outlines = []
        for where, entry in by_picture.get(str(image.get("id")), []):
            label = self.by_id[str(entry["category_id"])]
            outlines += self._outlines(where, entry, label, size)
            if (box := self._box(where, entry, size)) is not None:
                is_crowd = entry.get("iscrowd") and not self.keep_crowds
                (crowds if is_crowd else boxes).append((label, box))
        self.crowds += len(crowds)
        stacked, labels = stack_boxes(boxes)
        stacked_crowds, crowd_labels = stack_boxes(crowds)
        return AnnotatedPicture(
            *(file, place, stacked, labels, self.labels, tuple(outlines), size),
            crowds=stacked_crowds,
            crowd_labels=crowd_labels,
        )

    def _box(self, place: str, entry: Mapping[str, Any], size: tuple[int, int]) -> Box | None:
        """Return the box of an annotation; None for boxes without an area."""
        numbers = _numbers(entry.get("bbox"))
        if numbers is None or len(numbers) != 4:
            polygons = [p for p in _polygons(entry.get("segmentation")) if p is not None]
            if entry.get("bbox") or not polygons:
                self.report(place, "bbox: expected four finite numbers: x, y, width, height")
                return None
            points = np.concatenate(polygons)
            low, high = points.min(axis=0), points.max(axis=0)
            numbers = [*low.tolist(), *(high - low).tolist()]
        x, y, width, height = numbers
        if width < 0 or height < 0:
            self.report(place, f"bbox: a width of {width:g} and a height of {height:g}")
            return None
        corners = (x / size[0], y / size[1], (x + width) / size[0], (y + height) / size[1])
        box = clip_corners(corners)
        if box is None and width > 0 and height > 0:
            self.report(
                place,
                f"bbox: x {x:g}, y {y:g}, width {width:g}, height {height:g} lies outside of the "
                f"picture of {size[0]} x {size[1]}",
            )
        elif box is None:
            self.empty_boxes += 1
        return box

    def _outlines(
        self, place: str, entry: Mapping[str, Any], label: int, size: tuple[int, int]
    ) -> list[Outline]:
        shape = entry.get("segmentation")
        if isinstance(shape, dict):
            if not _is_run_lengths(shape, size):
                self.report(place, "segmentation: expected counts and the size of the picture")
                return []
            return [Outline(label, run_lengths=dict(shape))]
        polygons = _polygons(shape)
        if any(polygon is None for polygon in polygons):
            self.report(place, "segmentation: expected lists of six or more numbers, x and y")
            return []
        kept = tuple(polygon / size for polygon in polygons if polygon is not None)
        return [Outline(label, polygons=kept)] if kept else []


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    sides = _numbers([image.get("width"), image.get("height")])
    if sides is None or min(sides) < 1:
        return None
    return int(sides[0]), int(sides[1])


def _numbers(values: Any) -> list[float] | None:
    """Return finite numbers, some of which tools write as text; None if they are not."""
    if not isinstance(values, list | tuple):
        return None
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _polygons(shape: Any) -> list[Array | None]:
    """Return polygons in pixels, each (points, 2); None for one that is damaged."""
    if not isinstance(shape, list) or not shape:
        return []
    lists = shape if isinstance(shape[0], list) else [shape]
    found: list[Array | None] = []
    for each in lists:
        numbers = _numbers(each)
        is_polygon = numbers is not None and len(numbers) >= 6 and len(numbers) % 2 == 0
        found.append(np.array(numbers).reshape(-1, 2) if is_polygon else None)
    return found


def _is_run_lengths(shape: Mapping[str, Any], size: tuple[int, int]) -> bool:
    sides = _numbers(shape.get("size"))
    counts = shape.get("counts")
    if sides is None or [int(side) for side in sides] != [size[1], size[0]]:
        return False
    if isinstance(counts, list):
        numbers = _numbers(counts)
        return numbers is not None and sum(numbers) == size[0] * size[1]
    return isinstance(counts, str | bytes)
