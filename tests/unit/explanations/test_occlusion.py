from __future__ import annotations

import numpy as np

from omnivec2.explanations.occlusion import MaskedSamples, Occlusion, Segment, even_spans
from omnivec2.preprocess import Sample


def test_spans_cover_everything_once_and_differ_by_one_at_most() -> None:
    spans = even_spans(10, 4)
    assert [at for start, stop in spans for at in range(start, stop)] == list(range(10))
    assert {stop - start for start, stop in spans} <= {2, 3}


def test_there_are_no_more_spans_than_positions() -> None:
    assert even_spans(2, 64) == [(0, 1), (1, 2)]


def test_a_segment_is_masked_in_every_sample_that_it_is_in() -> None:
    def mask(segment: int, sample: int) -> Sample:
        return {"x": np.array([segment, sample])}

    segments = [Segment({"at": 0}, (0,)), Segment({"at": 1}, (0, 1))]
    masked = MaskedSamples(Occlusion("spans", "nothing", segments, mask))
    assert masked.pairs == [(0, 0), (1, 0), (1, 1)]
    assert len(masked) == 3
    assert masked[2]["x"].tolist() == [1, 1]
    assert [sample["x"].tolist() for sample in masked[:2]] == [[0, 0], [1, 0]]
