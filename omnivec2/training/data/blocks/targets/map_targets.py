"""A number for every pixel of a picture, such as its depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import Array, Prepared, Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, Target, TaskFamily
from omnivec2.training.data.annotations.map_files import read_map
from omnivec2.training.data.base import LazySequence, TargetForm
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind
from omnivec2.training.data.blocks.targets.picture_sizes import check_sides, have_same_aspect


@dataclass(frozen=True)
class FittedMaps(FittedTarget):
    """Maps in real units; see :class:`MapTarget` for the attributes."""

    scale: float = 1.0
    missing: tuple[float, ...] = ()

    def target_arrays(self, parsed: Path, prepared: Prepared, index: int) -> Sample:
        """Return ``map``, float32 [1, h, w], at the size of the network's pixels."""
        try:
            values = read_map(parsed, scale=self.scale, missing=self.missing)
        except ArtifactError as error:
            raise InvalidInputError(str(error)) from error
        size, own = prepared.context["size"], (values.shape[1], values.shape[0])
        if not have_same_aspect(own, size):
            raise InvalidInputError(
                f"the map {parsed.name} has {own[0]} x {own[1]} pixels, its picture "
                f"{size[0]} x {size[1]}"
            )
        height, width = prepared.samples[index]["pixels"].shape[:2]
        # The nearest pixel: a mean of depths on both sides of an edge is the depth of nothing.
        rows = ((np.arange(height) + 0.5) * values.shape[0] / height).astype(np.int64)
        columns = ((np.arange(width) + 0.5) * values.shape[1] / width).astype(np.int64)
        return {"map": values[np.ix_(rows, columns)][None]}

    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Sequence[Array]:
        """Return maps, float32 [1, h, w], NaN = ignored."""
        del parsed
        return LazySequence(len(kept), lambda index: kept[index]["map"])


class MapTarget(TargetKind):
    """A number for every pixel; pixels without one do not count."""

    kind: Literal["map"] = "map"
    name: str = Field(default="depth", description="name of the quantity")
    unit: str = Field(default="", description="unit of the quantity, after scale")
    scale: float = Field(
        default=1.0, gt=0, description="factor of what files hold: 0.001 from millimetres to metres"
    )
    missing: tuple[float, ...] = Field(
        default=(0.0,), description="what files hold where nothing was measured; may be empty"
    )
    loss: Literal["l1-gradient", "scale-invariant"] = Field(
        default="l1-gradient",
        description="l1 with slopes, or scale-invariant logarithms of positive values",
    )

    family: ClassVar[TaskFamily] = TaskFamily.REGRESSION
    metric: ClassVar[str] = "rmse"

    def parse(self, example: Example) -> Path:
        """Return the file of the map, not yet read."""
        if not isinstance(example.target, Path):
            raise InvalidInputError("target: map needs kind: maps")
        return example.target

    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedMaps:
        """Return the quantity; its mean and deviation are taken from the training part."""
        del head
        check_sides(preprocess)
        if not parsed:
            raise ArtifactError("the training part is empty")
        return FittedMaps(
            targets=(Target(name=self.name, unit=self.unit),),
            form=TargetForm.MAP,
            further={"loss": self.loss},
            scale=self.scale,
            missing=self.missing,
        )
