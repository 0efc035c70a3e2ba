"""Hyperspectral windows: runs of bands, each replaced by a straight line between its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnivec2.explanations.occlusion import Occlusion, Segment, even_spans
from omnivec2.explanations.series_spans import bridged
from omnivec2.preprocess import Prepared, Preprocessor, Sample


def occlude(preprocessor: Preprocessor[Any, Any], prepared: Prepared, most: int) -> Occlusion:
    """Cut the spectra around a pixel into runs of bands; see the package."""
    bands_first = np.moveaxis(prepared.samples[0]["window"], -1, 0)
    spans = even_spans(len(bands_first), most)

    def mask(segment: int, sample: int) -> Sample:
        masked = bridged(bands_first, *spans[segment])
        return {"window": np.ascontiguousarray(np.moveaxis(masked, 0, -1))}

    places = [{"first_band": start, "last_band": stop - 1} for start, stop in spans]
    return Occlusion(
        "runs of bands",
        "a straight line between the bands beside the run",
        [Segment(dict(place)) for place in places],
        mask,
        {"bands": len(bands_first)},
    )
