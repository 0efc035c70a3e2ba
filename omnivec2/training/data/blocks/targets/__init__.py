"""Kinds of targets by the name that a recipe gives them; a new kind is added to ``AnyTarget``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from omnivec2.training.data.blocks.targets.anomalies import AnomalyTarget
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind
from omnivec2.training.data.blocks.targets.boxes import BoxesTarget
from omnivec2.training.data.blocks.targets.classes import ClassTarget, TagsTarget
from omnivec2.training.data.blocks.targets.forecasts import ForecastTarget
from omnivec2.training.data.blocks.targets.identities import IdentityTarget
from omnivec2.training.data.blocks.targets.maps import MapTarget
from omnivec2.training.data.blocks.targets.masks import MaskTarget
from omnivec2.training.data.blocks.targets.numbers import NumbersTarget
from omnivec2.training.data.blocks.targets.points import PointsTarget
from omnivec2.training.data.blocks.targets.texts import TextTarget

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
