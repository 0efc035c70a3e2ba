"""The trunk's summaries of a sampled request, for whoever watches drift."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from omnivec2.preprocess import Array
from service.runtimes.base import Model


@dataclass(frozen=True)
class SeenInput:
    """What the trunk says of one input of a head.

    Attributes:
        model: The model of the head.
        summaries: The summaries by name: arrays (rows, width).
        are_independent: Whether the rows stand for themselves, as those of a table do; those of a
            recording or a scene are alike.
    """

    model: Model
    summaries: Mapping[str, Array]
    are_independent: bool


SeenSummaries = list[SeenInput]

SEEN_SUMMARIES: ContextVar[SeenSummaries | None] = ContextVar("seen_summaries", default=None)
"""The list that the current request's summaries go to; None unless the request is sampled."""
