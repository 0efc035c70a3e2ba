"""The class of every point of a cloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import Array, Prepared, Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, TaskFamily
from omnivec2.training.data.annotations.class_colours import IGNORE, MOST_CLASSES
from omnivec2.training.data.base import LazySequence, PointLabels, TargetForm
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.files import listed
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind
from omnivec2.training.data.table_files import as_name
from omnivec2.training.yaml_lines import did_you_mean


@dataclass(frozen=True)
class NamedPoints:
    """The classes of a cloud's points.

    Attributes:
        names: The classes that occur, in the order of their codes.
        codes: The class of every point, uint8 (points,), an index into ``names``; 255 = none.
    """

    names: tuple[str, ...]
    codes: Array


@dataclass(frozen=True)
class FittedPoints(FittedTarget):
    """Classes of points with their numbers."""

    def unknown(self, parsed: NamedPoints) -> str | None:
        """Return the class that the training part lacks, if there is one."""
        return self.unknown_class(parsed.names)

    def target_arrays(self, parsed: NamedPoints, prepared: Prepared, index: int) -> Sample:
        """Return ``labels`` and ``assignment`` of every point."""
        del index
        assignment = np.asarray(prepared.context["assignment"], dtype=np.int32)
        if len(assignment) != len(parsed.codes):
            raise InvalidInputError(
                f"the cloud has {len(assignment):,} points and {len(parsed.codes):,} labels"
            )
        table = np.full(IGNORE + 1, IGNORE, dtype=np.uint8)
        for code, name in enumerate(parsed.names):
            table[code] = self.index.get(name, IGNORE)
        return {"labels": table[parsed.codes], "assignment": assignment}

    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Sequence[PointLabels]:
        """Return the labels of points and the groups they are in."""
        del parsed
        return LazySequence(
            len(kept),
            lambda index: PointLabels(kept[index]["labels"], kept[index]["assignment"]),
        )


class PointsTarget(TargetKind):
    """A class per point; classes are those of the training part, in the order of their numbers."""

    kind: Literal["points"] = "points"
    names: dict[str, str] | tuple[str, ...] = Field(
        default=(),
        description="the classes by number, or label -> name; labels that are not named are errors",
    )
    ignore: tuple[str, ...] = Field(default=(), description="labels of points that do not count")

    family: ClassVar[TaskFamily] = TaskFamily.SEGMENTATION
    metric: ClassVar[str] = "miou"

    def parse(self, example: Example) -> NamedPoints:
        """Return the classes of the points."""
        found = example.target
        if not isinstance(found, np.ndarray):
            raise InvalidInputError("target: points needs a block of clouds with labels")
        values, codes = np.unique(found.astype(str), return_inverse=True)
        labels = [as_name(value) for value in values.tolist()]
        kept = [label for label in labels if label not in self.ignore and label]
        names = tuple(dict.fromkeys(self._named(label) for label in kept))
        if len(names) > MOST_CLASSES:
            raise InvalidInputError(f"{len(names)} classes; {MOST_CLASSES} are taken at most")
        table = np.full(len(labels), IGNORE, dtype=np.uint8)
        for number, label in enumerate(labels):
            if label in kept:
                table[number] = names.index(self._named(label))
        return NamedPoints(names, table[codes])

    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedPoints:
        """Return the classes of the training part."""
        del preprocess
        found = {name for one in parsed for name in one.names}
        if head is not None and head.labels:
            labels = head.labels
        elif self.names:
            given = self.names.values() if isinstance(self.names, dict) else self.names
            labels = tuple(dict.fromkeys(given))
        else:
            labels = tuple(sorted(found, key=lambda n: (not n.isdigit(), n.zfill(12), n)))
        if len(labels) < 2:
            raise ArtifactError(
                f"the points of the training part have {listed(list(labels))} as their only class; "
                "expected two or more"
            )
        return FittedPoints(labels=labels, form=TargetForm.POINTS)

    def _named(self, label: str) -> str:
        if not self.names:
            return label
        if isinstance(self.names, dict):
            named = self.names.get(label)
        elif label in self.names:
            named = label
        else:
            in_range = label.isdecimal() and int(label) < len(self.names)
            named = self.names[int(label)] if in_range else None
        if named is None:
            known = list(self.names)
            raise InvalidInputError(
                f"label {label!r} is none of {listed(known)}{did_you_mean(label, known)}; add it "
                "to names or to ignore"
            )
        return named

    def counted(self, parsed: NamedPoints) -> tuple[str, ...]:
        """Return the classes that occur."""
        return parsed.names
