"""Point clouds: groups of neighbouring points, each removed with the groups beside it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from omnivec2.explanations.occlusion import Occlusion, Segment
from omnivec2.preprocess import Array, Prepared, Preprocessor, Sample

_SEGMENTS_PER_PATCH = 16
"""A segment is removed with its neighbours, this part of all segments. One alone is hardly missed:
the groups of the others reach over its place."""

_DIGITS = 5
"""Decimals to which points of two groups are the same; the cloud fills the unit sphere."""


def occlude(preprocessor: Preprocessor[Any, Any], prepared: Prepared, most: int) -> Occlusion:
    """Cut a cloud into the groups that the network sees, or into fewer; see the package.

    A masked cloud is prepared again, as that of a caller would be who leaves the points out: what
    is left is centred, scaled and grouped anew. The place of a segment names its points by their
    index in the cloud.
    """
    sample = prepared.samples[0]
    centres = sample["centres"]
    assignment = prepared.context["assignment"]
    # Centres are in farthest-first order: the first are spread over the whole cloud.
    first = centres[: min(most, len(centres))]
    used, segment_of = np.unique(_nearest(centres, first), return_inverse=True)
    of_points = np.where(assignment < 0, -1, segment_of[assignment])
    points = _points_of(sample)
    segment_of_seen = segment_of[_nearest(points, centres)]
    beside = np.argsort(_distances(first[used], first[used]), axis=1, kind="stable")
    patches = beside[:, : math.ceil(len(used) / _SEGMENTS_PER_PATCH)]

    def mask(segment: int, index: int) -> Sample:
        left = points[~np.isin(segment_of_seen, patches[segment])]
        if not len(left):
            return {name: np.zeros_like(array) for name, array in sample.items()}
        return preprocessor.prepare(left).samples[0]

    return Occlusion(
        "groups of points",
        "a cloud without the points and the groups beside them",
        [
            Segment({"points": [*map(int, np.flatnonzero(of_points == one))]})
            for one in range(len(used))
        ],
        mask,
        {"points": len(assignment)},
    )


def _points_of(sample: Sample) -> Array:
    """Return the points (points, 3) that the network sees of a cloud, each once."""
    seen = (sample["groups"] + sample["centres"][:, None]).reshape(-1, 3)
    _, places = np.unique(seen.round(_DIGITS), axis=0, return_index=True)
    return np.asarray(seen[np.sort(places)])


def _nearest(points: Array, centres: Array) -> Array:
    """Return the index of the nearest centre for each point, (points,)."""
    return np.asarray(_distances(points, centres).argmin(axis=1))


def _distances(first: Array, second: Array) -> Array:
    """Return the squared distances (first, second) of points."""
    return np.asarray(np.square(first[:, None] - second[None]).sum(axis=-1))
