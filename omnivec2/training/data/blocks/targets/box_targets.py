"""Boxes of objects in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import Array, Prepared, Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, TaskFamily
from omnivec2.training.data.annotations.annotated_boxes import AnnotatedPicture
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind
from omnivec2.training.data.blocks.targets.picture_sizes import check_declared_size, check_sides


@dataclass(frozen=True)
class FittedBoxes(FittedTarget):
    """Boxes with the numbers of their classes."""

    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> list[dict[str, Array]]:
        """Return ``boxes`` float32 [n, 4], cx, cy, w, h in 0..1, and ``labels`` int64 [n].

        Where there are crowds, ``crowds`` [k, 4] and ``crowd_labels`` [k] are theirs; crowds of
        classes that the training part lacks are of no use and left out.
        """
        del kept
        return [self._arrays(one.only(self.labels)) for one in parsed]

    def _arrays(self, picture: AnnotatedPicture) -> dict[str, Array]:
        arrays = {"boxes": picture.boxes, "labels": picture.labels}
        if len(picture.crowds):
            arrays |= {"crowds": picture.crowds, "crowd_labels": picture.crowd_labels}
        return arrays

    def unknown(self, parsed: AnnotatedPicture) -> str | None:
        """Return the class that the training part lacks, if there is one."""
        return self.unknown_class(parsed.names)

    def target_arrays(self, parsed: AnnotatedPicture, prepared: Prepared, index: int) -> Sample:
        """Check that the annotation is of a picture of this size; nothing is kept."""
        del index
        check_declared_size(parsed.size, prepared)
        return {}


class BoxesTarget(TargetKind):
    """Boxes of objects; their classes are those that the annotations name, in their order."""

    kind: Literal["boxes"] = "boxes"

    family: ClassVar[TaskFamily] = TaskFamily.DETECTION
    metric: ClassVar[str] = "ap50"

    def parse(self, example: Example) -> AnnotatedPicture:
        """Return the picture's annotation."""
        if not isinstance(example.target, AnnotatedPicture):
            raise InvalidInputError(
                "target: boxes needs a block of boxes: kind: coco, yolo, voc or datasets"
            )
        return example.target

    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedBoxes:
        """Return the classes that the annotations of the training part declare."""
        check_sides(preprocess)
        if head is None and not any(len(one.labels) for one in parsed):
            raise ArtifactError(f"the training part has {len(parsed)} pictures and no box")
        labels = tuple(dict.fromkeys(name for one in parsed for name in one.classes))
        if head is not None and head.labels:
            labels = head.labels
        return FittedBoxes(labels=labels)

    def counted(self, parsed: AnnotatedPicture) -> tuple[str, ...]:
        """Return the classes of the boxes."""
        return parsed.names
