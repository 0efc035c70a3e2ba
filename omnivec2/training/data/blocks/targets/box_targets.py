"""Boxes of objects in a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import Array, Prepared, Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, TaskFamily
from omnivec2.training.data.annotations.annotated_boxes import AnnotatedPicture
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.files import listed
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind
from omnivec2.training.data.blocks.targets.picture_sizes import check_declared_size, check_sides
from omnivec2.training.yaml_lines import did_you_mean


@dataclass(frozen=True)
class FittedBoxes(FittedTarget):
    """Boxes with the numbers of their classes."""

    _index: Mapping[str, int] = field(default_factory=dict)

    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> list[dict[str, Array]]:
        """Return ``boxes`` float32 [n, 4], cx, cy, w, h in 0..1, and ``labels`` int64 [n]."""
        del kept
        return [
            {
                "boxes": one.boxes,
                "labels": np.array([self._index[name] for name in one.names], dtype=np.int64),
            }
            for one in parsed
        ]

    def unknown(self, parsed: AnnotatedPicture) -> str | None:
        """Return the class that the training part lacks, if there is one."""
        for name in parsed.names:
            if name not in self._index:
                known = list(self.labels)
                return (
                    f"class {name!r} is not in the training part, which has {listed(known)}"
                    f"{did_you_mean(name, known)}"
                )
        return None

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
            raise InvalidInputError("target: boxes needs a block of boxes: kind: coco, yolo or voc")
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
        return FittedBoxes(
            labels=labels, _index={name: number for number, name in enumerate(labels)}
        )

    def counted(self, parsed: AnnotatedPicture) -> tuple[str, ...]:
        """Return the classes of the boxes."""
        return parsed.names
