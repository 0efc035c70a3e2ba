"""Time series: spans of steps, each replaced by a straight line between its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnivec2.explanations.occlusion import Occlusion, Segment, even_spans
from omnivec2.preprocess import Array, Prepared, Preprocessor, Sample


def occlude(preprocessor: Preprocessor[Any, Any], prepared: Prepared, most: int) -> Occlusion:
    """Cut what is read of a series into spans of steps; see the package.

    Steps are counted from the end, as indices of Python: the last one is -1.
    """
    values = prepared.samples[0]["values"]
    spans = even_spans(len(values), most)

    def mask(segment: int, sample: int) -> Sample:
        return {"values": bridged(values, *spans[segment])}

    count = len(values)
    places = [{"first_step": start - count, "last_step": stop - 1 - count} for start, stop in spans]
    return Occlusion(
        "spans of steps",
        "a straight line between the values beside the span",
        [Segment(dict(place)) for place in places],
        mask,
        {"steps": count},
    )


def bridged(values: Array, start: int, stop: int) -> Array:
    """Return values (steps, ...) with a straight line in place of those from start to stop.

    At an end of the values it is the one neighbour that there is, and their mean without any.
    """
    kept = np.r_[0:start, stop : len(values)]
    masked = values.copy()
    if not len(kept):
        masked[:] = values.mean(axis=0)
        return masked
    left, right = values[max(start - 1, 0)], values[min(stop, len(values) - 1)]
    if start == 0:
        left = right
    if stop == len(values):
        right = left
    share = (np.arange(1, stop - start + 1) / (stop - start + 1)).reshape(-1, *[1] * left.ndim)
    masked[start:stop] = left + share * (right - left)
    return masked
