"""Segments of an input, and samples in which one of them is masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import overload

import numpy as np
from pydantic import JsonValue

from omnivec2.preprocess import Sample

Span = tuple[int, int]
"""The first position of a run, and the one behind its last."""


@dataclass(frozen=True)
class Segment:
    """A part of an input that is masked at once.

    Attributes:
        place: The coordinates of it in the input as it was sent.
        samples: The indices of the samples that it is in.
    """

    place: Mapping[str, JsonValue]
    samples: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Occlusion:
    """The segments of one input, and how each of them is masked.

    Attributes:
        unit: The name of what a segment is, in the plural.
        baseline: The words for what takes the place of a segment.
        segments: The segments.
        mask: A function of the index of a segment and that of a sample; it returns a copy of the
            sample in which the segment is masked.
        extent: The size of the whole input, in the units of the places.
    """

    unit: str
    baseline: str
    segments: Sequence[Segment]
    mask: Callable[[int, int], Sample]
    extent: Mapping[str, JsonValue] = field(default_factory=dict)


class MaskedSamples(Sequence[Sample]):
    """The samples of an input with one segment masked, for every segment; each made on access.

    Args:
        occlusion: The segments.

    Attributes:
        pairs: The segment and the sample that each of them is of.
    """

    def __init__(self, occlusion: Occlusion) -> None:
        self._mask = occlusion.mask
        self.pairs: list[tuple[int, int]] = [
            (number, sample)
            for number, segment in enumerate(occlusion.segments)
            for sample in segment.samples
        ]

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self._mask(*pair) for pair in self.pairs[index]]
        return self._mask(*self.pairs[index])


def even_spans(count: int, most: int) -> list[Span]:
    """Cut positions into runs of nearly equal lengths.

    Args:
        count: The number of positions.
        most: The most runs; at least 1.
    """
    edges = np.linspace(0, count, min(count, most) + 1).round().astype(int).tolist()
    return list(pairwise(edges))
