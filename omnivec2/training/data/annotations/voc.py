"""Pascal VOC's annotations: one XML file per picture, also as LabelImg and CVAT write them.

Format: "The PASCAL VOC Development Kit" (Everingham and Winn, 2012).
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnivec2.errors import ArtifactError
from omnivec2.training.data.annotations.annotated_boxes import (
    AnnotatedPicture,
    clip_corners,
    stack_boxes,
)
from omnivec2.training.data.annotations.part_lists import PARTS, part_list
from omnivec2.training.data.annotations.picture_index import PictureIndex
from omnivec2.training.data.annotations.problems import Report, raise_problem


@dataclass(frozen=True)
class VocFolder:
    """A data set in VOC's form.

    Attributes:
        annotations: The XML files of each part; of the part ``all`` where none are given.
        pictures: The finder of pictures by name.
    """

    annotations: Mapping[str, tuple[Path, ...]]
    pictures: PictureIndex


def read_voc_folder(path: Path) -> VocFolder:
    """Find the annotations of a data set, with the parts of ``ImageSets/Main`` if it has any.

    Args:
        path: The folder of ``Annotations`` and ``JPEGImages``, or one with files of both kinds.

    Raises:
        ArtifactError: There are no annotations, or a part names one that is not there.
    """
    folder = next((p for p in (path / "Annotations", path / "annotations") if p.is_dir()), path)
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() == ".xml" and p.is_file())
    if not files:
        raise ArtifactError(f"{path}: no XML files; expected VOC's Annotations/ and JPEGImages/")
    names = ("JPEGImages", "images", "Images", ".")
    places = [path / name for name in names]
    index = PictureIndex([p for p in places[:3] if p.is_dir()] or [path])
    return VocFolder(_parts(path, folder, files) or {"all": tuple(files)}, index)


def _parts(path: Path, folder: Path, files: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    """Return the files of the parts that ``ImageSets`` lists."""
    by_stem = {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}
    found: dict[str, tuple[Path, ...]] = {}
    for part in PARTS:
        listing = part_list(path, part)
        if listing is None:
            continue
        own = []
        for number, line in enumerate(listing.read_text().splitlines(), 1):
            if not line.split():
                continue
            name = line.split()[0].removesuffix(".xml")
            if name not in by_stem:
                raise ArtifactError(f"{listing}:{number}: no annotation {name}.xml in {folder}")
            own.append(by_stem[name])
        found[part] = tuple(own)
    return found if "train" in found else {}


def voc_names(files: Sequence[Path], report: Report = raise_problem) -> tuple[str, ...]:
    """Return the classes that annotations name, in the order of the alphabet."""
    names: set[str] = set()
    for file in files:
        if (tree := _parse(file, report)) is not None:
            names |= {(item.findtext("name") or "").strip() for item in tree.iter("object")}
    return tuple(sorted(names - {""}))


def read_voc_picture(
    file: Path,
    labels: Sequence[str],
    pictures: PictureIndex,
    *,
    difficult: bool = False,
    report: Report = raise_problem,
) -> AnnotatedPicture | None:
    """Read one annotation; None if it is bad and ``report`` returns.

    Args:
        file: The XML file.
        labels: The names of the classes.
        pictures: The finder of its picture, by the name of the file and then by ``filename``.
        difficult: Whether objects that are marked as difficult count.
        report: The callback for bad entries.
    """
    tree = _parse(file, report)
    if tree is None:
        return None
    named = (tree.findtext("filename") or "").strip()
    picture = pictures.find(file.stem) or (pictures.find(named) if named else None)
    if picture is None:
        looked = ", ".join(map(str, pictures.folders))
        report(str(file), f"no such picture, or several: {named or file.stem!r} in {looked}")
        return None
    size = _declared_size(tree) or _picture_size(picture, report)
    if size is None:
        return None
    boxes = []
    left_out = 0
    numbers = {name: index for index, name in enumerate(labels)}
    for index, item in enumerate(tree.iter("object"), 1):
        place = f"{file}: object {index}"
        name = (item.findtext("name") or "").strip()
        if not difficult and (item.findtext("difficult") or "").strip() == "1":
            left_out += 1
            continue
        corners = [_number(item.findtext(f"bndbox/{k}")) for k in ("xmin", "ymin", "xmax", "ymax")]
        if name not in numbers:
            report(place, f"class {name!r} is none of {', '.join(labels)}")
        elif any(corner is None for corner in corners):
            report(place, "bndbox: expected the numbers xmin, ymin, xmax and ymax")
        else:
            sides = (*size, *size)
            shares = [float(c or 0.0) / side for c, side in zip(corners, sides, strict=True)]
            if (box := clip_corners(shares)) is None:
                report(place, "the box has no area inside the picture")
            else:
                boxes.append((numbers[name], box))
    stacked, found = stack_boxes(boxes)
    return AnnotatedPicture(
        picture, str(file), stacked, found, tuple(labels), size=size, left_out=left_out
    )


def _parse(file: Path, report: Report) -> ET.Element | None:
    try:
        tree = ET.parse(file).getroot()
    except (ET.ParseError, OSError, ValueError) as error:
        report(str(file), f"not readable XML: {error}")
        return None
    if tree.tag != "annotation":
        report(str(file), f"expected VOC's <annotation>, got <{tree.tag}>")
        return None
    return tree


def _declared_size(tree: ET.Element) -> tuple[int, int] | None:
    """Return the declared width and height; None where a tool wrote none, or 0."""
    sides = [_number(tree.findtext(f"size/{side}")) for side in ("width", "height")]
    if sides[0] is None or sides[1] is None or min(sides[0], sides[1]) < 1:
        return None
    return int(sides[0]), int(sides[1])


def _picture_size(picture: Path, report: Report) -> tuple[int, int] | None:
    from PIL import Image, ImageOps

    try:
        with Image.open(picture) as image:
            width, height = ImageOps.exif_transpose(image).size
    except (OSError, ValueError, SyntaxError) as error:
        report(str(picture), f"not a readable picture: {error}")
        return None
    return width, height


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
