"""Kinds of targets by the name that a recipe gives them; a new kind is added to ``AnyTarget``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from omnivec2.training.data.blocks.targets.anomaly_targets import AnomalyTarget
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind
from omnivec2.training.data.blocks.targets.box_targets import BoxesTarget
from omnivec2.training.data.blocks.targets.class_targets import ClassTarget, TagsTarget
from omnivec2.training.data.blocks.targets.forecast_targets import ForecastTarget
from omnivec2.training.data.blocks.targets.identity_targets import IdentityTarget
from omnivec2.training.data.blocks.targets.map_targets import MapTarget
from omnivec2.training.data.blocks.targets.mask_targets import MaskTarget
from omnivec2.training.data.blocks.targets.number_targets import NumbersTarget
from omnivec2.training.data.blocks.targets.point_targets import PointsTarget
from omnivec2.training.data.blocks.targets.text_targets import TextTarget

__all__ = ["AnyTarget", "FittedTarget", "TargetKind"]


def _with_kind(value: Any) -> Any:
    """Return the name of a kind as the kind with its defaults."""
    return {"kind": value} if isinstance(value, str) else value


AnyTarget = Annotated[
    Annotated[
        ClassTarget
        | TagsTarget
        | NumbersTarget
        | TextTarget
        | ForecastTarget
        | BoxesTarget
        | MaskTarget
        | PointsTarget
        | MapTarget
        | IdentityTarget
        | AnomalyTarget,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_with_kind),
]
"""A target kind: its name alone, or a mapping of ``kind`` and the fields of the kind."""
