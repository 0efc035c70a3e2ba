"""The class of every pixel of a picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import Array, Prepared, Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, TaskFamily
from omnivec2.training.data.annotations.annotated_boxes import AnnotatedPicture
from omnivec2.training.data.annotations.class_colours import IGNORE, MOST_CLASSES, ClassMap
from omnivec2.training.data.annotations.mask_files import read_mask
from omnivec2.training.data.annotations.outlines import paint_outlines
from omnivec2.training.data.base import LazySequence
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.files import listed
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind
from omnivec2.training.data.blocks.targets.picture_sizes import (
    check_declared_size,
    check_sides,
    have_same_aspect,
)


class MaskSource(ABC):
    """A mask that is read when it is needed.

    Attributes:
        labels: The names of its classes by index.
    """

    labels: tuple[str, ...]

    @abstractmethod
    def read(self, size: tuple[int, int] | None = None) -> Array:
        """Return the class of every pixel, uint8 (height, width), 255 where there is none.

        Args:
            size: The (width, height) of the picture, where it is known.

        Raises:
            ArtifactError: The mask is damaged, or a pixel belongs to no class.
        """


@dataclass(frozen=True)
class MaskFile(MaskSource):
    """A mask that is a picture.

    Attributes:
        file: The mask's file.
        classes: The classes, by index or colour.
        others_ignored: Whether values of no class are ignored.
        labels: The names of the classes by index.
    """

    file: Path
    classes: ClassMap
    others_ignored: bool = False
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", self.classes.labels)

    def read(self, size: tuple[int, int] | None = None) -> Array:
        """Return the mask at its own size."""
        del size
        return read_mask(self.file, self.classes, others_ignored=self.others_ignored)

    def __repr__(self) -> str:
        info = self.file.stat() if self.file.is_file() else None
        stamp = (info.st_size, info.st_mtime_ns) if info else None
        return f"MaskFile({str(self.file)!r}, {stamp}, {self.classes}, {self.others_ignored})"


@dataclass(frozen=True)
class OutlinedMask(MaskSource):
    """A mask that is painted from the outlines of objects.

    Attributes:
        objects: The annotation of the picture.
        background: The name of the class of all other pixels; None if they are ignored.
        labels: The names of the classes by index.
    """

    objects: AnnotatedPicture
    background: str | None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        first = () if self.background is None else (self.background,)
        object.__setattr__(self, "labels", (*first, *self.objects.classes))

    def read(self, size: tuple[int, int] | None = None) -> Array:
        """Return the mask at the size that the annotation declares, or at the picture's."""
        shown = self.objects.size or size or _size_of(self.objects.picture)
        none, shift = (IGNORE, 0) if self.background is None else (0, 1)
        return paint_outlines(self.objects.outlines, shown, none, shift=shift)


def _size_of(picture: Path) -> tuple[int, int]:
    from PIL import Image, ImageOps

    try:
        with Image.open(picture) as image:
            width, height = ImageOps.exif_transpose(image).size
    except (OSError, ValueError, SyntaxError) as error:
        raise ArtifactError(f"{picture}: not a readable picture: {error}") from error
    return width, height


@dataclass(frozen=True)
class FittedMasks(FittedTarget):
    """Masks with the numbers of their classes."""

    def unknown(self, parsed: MaskSource) -> str | None:
        """Return the class that the training part does not name, if there is one."""
        return self.unknown_class(parsed.labels)

    def target_arrays(self, parsed: MaskSource, prepared: Prepared, index: int) -> Sample:
        """Return ``mask``, uint8, at the size of the network's pixels."""
        from PIL import Image

        size = prepared.context["size"]
        if isinstance(parsed, OutlinedMask):
            check_declared_size(parsed.objects.size, prepared)
        mask = self._numbered(parsed, size)
        own = (mask.shape[1], mask.shape[0])
        if not have_same_aspect(own, size):
            raise InvalidInputError(
                f"the mask has {own[0]} x {own[1]} pixels, its picture {size[0]} x {size[1]}"
            )
        height, width = prepared.samples[index]["pixels"].shape[:2]
        resized = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
        return {"mask": np.asarray(resized)}

    def classes_of(self, kept: Sample) -> tuple[str, ...]:
        """Return the classes of the pixels of a mask."""
        numbers = np.unique(kept["mask"]).tolist()
        return tuple(self.labels[number] for number in numbers if number != IGNORE)

    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Sequence[Array]:
        """Return masks, uint8 [h, w], 255 = ignore."""
        del parsed
        return LazySequence(len(kept), lambda index: kept[index]["mask"])

    def references(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Sequence[Array]:
        """Return the masks at their own size, read when they are looked up."""
        del kept
        return LazySequence(len(parsed), lambda index: self._numbered(parsed[index], None))

    def _numbered(self, source: MaskSource, size: tuple[int, int] | None) -> Array:
        try:
            mask = source.read(size)
        except ArtifactError as error:
            raise InvalidInputError(str(error)) from error
        table = np.full(IGNORE + 1, IGNORE, dtype=np.uint8)
        for number, name in enumerate(source.labels):
            table[number] = self.index.get(name, IGNORE)
        return np.asarray(table[mask])


class MaskTarget(TargetKind):
    """The class of every pixel: masks as pictures, or outlines that are painted."""

    kind: Literal["mask"] = "mask"
    background: str | None = Field(
        default="background",
        description="outlines: the class of pixels outside of all objects; null: they are ignored",
    )

    family: ClassVar[TaskFamily] = TaskFamily.SEGMENTATION
    metric: ClassVar[str] = "miou"

    def parse(self, example: Example) -> MaskSource:
        """Return the mask of the picture, not yet read."""
        found = example.target
        if isinstance(found, MaskSource):
            return found
        if not isinstance(found, AnnotatedPicture):
            raise InvalidInputError(
                "target: mask needs a block of masks: kind: masks, or coco or yolo with outlines"
            )
        if len(found.labels) and not found.outlines:
            raise InvalidInputError(
                "the objects have boxes and no outlines; target: mask needs polygons or run lengths"
            )
        return OutlinedMask(found, self.background)

    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedMasks:
        """Return the classes that the masks of the training part may have."""
        check_sides(preprocess)
        labels = tuple(dict.fromkeys(name for one in parsed for name in one.labels))
        if head is not None and head.labels:
            labels = head.labels
        if not 2 <= len(labels) <= MOST_CLASSES:
            raise ArtifactError(
                f"masks need 2 to {MOST_CLASSES} classes, got {listed(list(labels))}"
            )
        return FittedMasks(labels=labels)
