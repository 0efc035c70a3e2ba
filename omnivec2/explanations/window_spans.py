"""Spans of time of a recording that the network sees in windows, whose answers are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from omnivec2.explanations.occlusion import Occlusion, Segment, Span, even_spans
from omnivec2.preprocess import Array, Sample


def occlude_windows(
    name: str,
    windows: Sequence[Array],
    starts: Sequence[int],
    length: int,
    seconds_per_step: float,
    nothing: Callable[[Array], Array],
    *,
    most: int,
    baseline: str,
) -> Occlusion:
    """Cut a recording into spans of time; those that no window shows are left out.

    Args:
        name: The name of the input tensor.
        windows: The windows (steps, ...).
        starts: The step of the recording at which each window starts.
        length: The steps of the recording.
        seconds_per_step: The time between two steps.
        nothing: A function that returns what takes the place of a window's steps.
        most: The most spans.
        baseline: The words for that.
    """
    spans: list[Span] = []
    segments: list[Segment] = []
    for start, stop in even_spans(length, most):
        inside = tuple(
            index
            for index, first in enumerate(starts)
            if start < first + len(windows[index]) and stop > first
        )
        if inside:
            place = {
                "start": round(start * seconds_per_step, 3),
                "end": round(stop * seconds_per_step, 3),
            }
            spans.append((start, stop))
            segments.append(Segment(dict(place), inside))

    def mask(segment: int, sample: int) -> Sample:
        window = windows[sample]
        start, stop = (max(0, edge - starts[sample]) for edge in spans[segment])
        masked = window.copy()
        masked[start:stop] = nothing(window)[start:stop]
        return {name: masked}

    extent = {"seconds": round(length * seconds_per_step, 3)}
    return Occlusion("time spans", baseline, segments, mask, dict(extent))
