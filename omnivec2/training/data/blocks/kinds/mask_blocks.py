"""Pictures with masks, or with maps of numbers: ``masks`` and ``maps``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue

from omnivec2.errors import ArtifactError
from omnivec2.spec import Modality
from omnivec2.training.data.annotations.class_colours import ClassMap, class_map, read_classes
from omnivec2.training.data.annotations.map_files import match_maps
from omnivec2.training.data.annotations.mask_files import match_masks, values_of_masks
from omnivec2.training.data.annotations.part_lists import listed_parts
from omnivec2.training.data.annotations.picture_index import list_pictures
from omnivec2.training.data.blocks.examples import Example, Origin, Problem, ProblemKind
from omnivec2.training.data.blocks.files import BlockFiles
from omnivec2.training.data.blocks.kinds.base import Block
from omnivec2.training.data.blocks.part_names import part_of_name
from omnivec2.training.data.blocks.targets import AnyTarget
from omnivec2.training.data.blocks.targets.map_targets import MapTarget
from omnivec2.training.data.blocks.targets.mask_targets import MaskFile, MaskTarget
from omnivec2.training.data.blocks.targets.picture_sizes import SCENE_PARAMETERS

_IMAGES = ("images", "image", "imgs", "img", "JPEGImages", "pictures", "rgb", "leftImg8bit")
_MASKS = (
    "masks", "mask", "labels", "label", "annotations", "annotation", "SegmentationClass", "gt",
    "gtFine", "segmentation", "segmentations", "ground_truth", "targets",
)  # fmt: skip


class MasksBlock(Block):
    """Pictures, and for each a mask with an index or a colour per pixel.

    ::

        <path>/images/a.jpg          the pictures, at any depth
        <path>/masks/a.png           masks of the same names, or a_mask.png
        <path>/train/images/…        parts, in any usual spelling; or images/train/…
        <path>/train/a.png           or pictures and masks in train and train_labels, as CamVid has
        <path>/train_labels/a_L.png  them
        <path>/ImageSets/…/train.txt or a list of names for each part, as VOC has it
    """

    kind: Literal["masks"] = "masks"
    target: AnyTarget = Field(default=MaskTarget(), description="mask")
    images: str | None = Field(
        default=None,
        description="folder of pictures in path, or below --data; found by its name unless given",
    )
    masks: str | None = Field(
        default=None,
        description="folder of masks in path, or below --data; found by its name unless given",
    )
    classes: str | tuple[Any, ...] | dict[Any, Any] | None = Field(
        default=None,
        description="names by index, index or colour -> name, name -> colours, or a file with "
        "them; the indices that occur unless given",
    )
    ignore: tuple[Any, ...] = Field(
        default=(), description="indices or colours of pixels that do not count"
    )
    others: Literal["error", "ignore"] = Field(
        default="error", description="what indices and colours of no class are"
    )

    def parameters(self, modality: Modality) -> Mapping[str, JsonValue]:
        """Return the size of scenes, in which nothing is cut off."""
        return SCENE_PARAMETERS if modality is Modality.IMAGE else {}

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield the pictures that have a mask; those without are named."""
        folders = [
            (part or own, pictures, masks)
            for part, path in self.paths(files)
            for own, pictures, masks in self._folders(path, files.root)
        ]
        lists = {
            name: part for _, path in self.paths(files) for name, part in listed_parts(path).items()
        }
        matched = [
            (part, *match_masks(pictures, masks), pictures) for part, pictures, masks in folders
        ]
        classes = self._classes(files, [pair[1] for _, pairs, _, _ in matched for pair in pairs])
        if self.classes is None and len(classes.labels) > 2 and "255" in classes.labels:
            yield self._warning(
                files,
                ProblemKind.BAD_TARGET,
                "the value 255 of the masks is taken for a class; in most data sets it marks "
                "pixels that do not count: `ignore: [255]`",
            )
        unlisted = 0
        for part, pairs, without, root in matched:
            for picture in without:
                yield Problem(
                    ProblemKind.MISSING_FILE,
                    Origin(files.name(picture)),
                    "the picture has no mask of its name; it is left out",
                    is_warning=True,
                )
            for picture, mask in pairs:
                name = picture.relative_to(root)
                own = part or part_of_name(name.parts[0] if len(name.parts) > 1 else "")
                own = own or lists.get(name.with_suffix("").as_posix())
                if lists and own is None:
                    unlisted += 1
                    continue
                source = MaskFile(mask, classes, self.others == "ignore")
                columns = self.columns_of_name(str(name))
                yield Example(picture, source, Origin(files.name(picture)), own, columns)
        if unlisted:
            yield self._warning(
                files,
                ProblemKind.LEFT_OUT,
                f"{unlisted:,} pictures are in none of the lists in ImageSets and are left out",
            )
        used = {file for _, pairs, without, _ in matched for file in chain(*pairs, without)}
        if stray := sorted({f for _, _, masks in folders for f in list_pictures(masks)} - used):
            yield self._warning(
                files,
                ProblemKind.LEFT_OUT,
                f"{len(stray):,} masks have no picture of their name and are left out, such as "
                f"{files.name(stray[0])}",
            )

    def _warning(self, files: BlockFiles, kind: ProblemKind, reason: str) -> Problem:
        """Return a warning of the whole block."""
        path = next(path for _, path in self.paths(files))
        return Problem(kind, Origin(files.name(path)), reason, is_warning=True)

    def _folders(self, path: Path, root: Path) -> Iterator[tuple[str | None, Path, Path]]:
        """Yield (part, folder of pictures, folder of masks)."""
        if (found := self._both(path, root)) is not None:
            yield None, *found
            return
        inside = [p for p in sorted(path.iterdir()) if p.is_dir()] if path.is_dir() else []
        parts = [(part_of_name(p.name), self._both(p) or _beside(p, inside)) for p in inside]
        if not any(both for _, both in parts):
            if path.is_dir() and self.images is None and self.masks is None:
                yield None, path, path
                return
            raise ArtifactError(
                f"{path}: no folders of pictures and masks; name them in `images` and `masks`, "
                "relative to `path` or to --data"
            )
        for part, both in parts:
            if both is not None:
                yield part or None, *both

    def _both(self, path: Path, root: Path | None = None) -> tuple[Path, Path] | None:
        places = []
        for given, names in ((self.images, _IMAGES), (self.masks, _MASKS)):
            tries = [path / name for name in ((given,) if given is not None else names)]
            if given is not None and root is not None:
                tries.append(root / given)
            found = next((place for place in tries if place.is_dir()), None)
            if found is None:
                return None
            places.append(found)
        return places[0], places[1]

    def _classes(self, files: BlockFiles, masks: list[Path]) -> ClassMap:
        _refuse_lossy(files, masks)
        if isinstance(self.classes, str):
            file = files.find(self.classes)[0]
            return class_map(read_classes(file), self.ignore, place=files.name(file))
        if self.classes is not None:
            return class_map(self.classes, self.ignore)
        values = values_of_masks(masks)
        names = {value: str(value) for value in values if value not in self.ignore}
        if len(names) > 64:
            raise ArtifactError(
                f"the masks have {len(names)} different values; name those that are classes in "
                "`classes`"
            )
        return class_map(names, self.ignore, place="the values of the masks")


_LOSSY = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


def _refuse_lossy(files: BlockFiles, masks: list[Path]) -> None:
    """Refuse masks in JPEG files, of which two values at most can be trusted.

    Raises:
        ArtifactError: There are such masks.
    """
    lossy = [mask for mask in masks if mask.suffix.lower() in _LOSSY]
    values: set[int] = set()
    for mask in lossy:
        try:
            values |= set(values_of_masks([mask]))
        except ArtifactError:  # colours, of which those between two classes are refused
            continue
        if len(values) > 2:
            raise ArtifactError(
                f"{files.name(mask)}: the mask is a JPEG picture, in which compression mixes the "
                f"values of classes: {len(values)} different ones occur. Save masks as PNG from "
                "the tool that made them"
            )


_MASK_FOLDER = re.compile(r"(?i)[ _-]?(?:labels?|masks?|annot|annotations?|gt|seg|segmentation)$")
"""What the name of a folder of masks has behind that of its pictures, as CamVid's."""


def _beside(pictures: Path, folders: list[Path]) -> tuple[Path, Path] | None:
    """Return a folder of pictures and that of its masks beside it, such as train_labels."""
    if part_of_name(pictures.name) is None:
        return None
    found = [
        folder
        for folder in folders
        if folder != pictures and _MASK_FOLDER.sub("", folder.name) == pictures.name
    ]
    return (pictures, found[0]) if len(found) == 1 else None


_MAP_IMAGES = ("images", "image", "imgs", "rgb", "color", "pictures")
_MAPS = ("maps", "map", "depth", "depths", "targets", "gt", "ground_truth", "labels")


class MapsBlock(Block):
    """Pictures, and for each a map with a number per pixel.

    ::

        <path>/images/a.jpg            the pictures, at any depth
        <path>/depth/a.png             maps of the same names: PNG of 16 bits, TIFF or NPY
        <path>/train/images/…          parts, in any usual spelling
        <path>/a_colors.png, a_depth.png   or both in one folder
    """

    kind: Literal["maps"] = "maps"
    target: AnyTarget = Field(default=MapTarget(), description="map")
    images: str | None = Field(
        default=None, description="folder of pictures in path; found by its name unless given"
    )
    maps: str | None = Field(
        default=None, description="folder of maps in path; found by its name unless given"
    )

    def parameters(self, modality: Modality) -> Mapping[str, JsonValue]:
        """Return the size of scenes, in which nothing is cut off."""
        return SCENE_PARAMETERS if modality is Modality.IMAGE else {}

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield the pictures that have a map; those without are named."""
        for given, path in self.paths(files):
            for own, pictures, maps in self._folders(path):
                pairs, without = match_maps(pictures, maps)
                if not pairs:
                    raise ArtifactError(f"{path}: no map has the name of a picture")
                for picture in without:
                    yield Problem(
                        ProblemKind.MISSING_FILE,
                        Origin(files.name(picture)),
                        "the picture has no map of its name; it is left out",
                        is_warning=True,
                    )
                for picture, file in pairs:
                    name = str(picture.relative_to(pictures))
                    columns = self.columns_of_name(name)
                    origin = Origin(files.name(picture))
                    yield Example(picture, file, origin, given or own, columns)

    def _folders(self, path: Path) -> list[tuple[str | None, Path, Path]]:
        """Return (part, folder of pictures, folder of maps)."""
        if not path.is_dir():
            raise ArtifactError(f"{path}: expected a folder of pictures and maps")
        if (both := self._both(path)) is not None:
            return [(None, *both)]
        parts = [p for p in sorted(path.iterdir()) if p.is_dir() and part_of_name(p.name)]
        if not parts:
            return [(None, path, path)]
        return [(part_of_name(p.name), *(self._both(p) or (p, p))) for p in parts]

    def _both(self, path: Path) -> tuple[Path, Path] | None:
        places = []
        for given, names in ((self.images, _MAP_IMAGES), (self.maps, _MAPS)):
            tries = (given,) if given is not None else names
            places.append(next((path / name for name in tries if (path / name).is_dir()), None))
        if places[0] is None or places[1] is None:
            return None
        return places[0], places[1]
