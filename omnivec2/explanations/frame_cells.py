"""Video and depth: square cells of some frames that follow one another, filled with one value."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from omnivec2.explanations.grids import Cell, cells
from omnivec2.explanations.occlusion import Occlusion, Segment, Span, even_spans
from omnivec2.preprocess import Prepared, Preprocessor, Sample
from omnivec2.preprocess.formats.pictures.raster import ResizeMode
from omnivec2.spec import Modality

_SPANS = 4
"""The most spans of time; what is left of the segments tells places within the picture apart."""


def occlude(preprocessor: Preprocessor[Any, Any], prepared: Prepared, most: int) -> Occlusion:
    """Cut a sequence of pictures into cells and spans of time; see the package."""
    is_depth = preprocessor.modality is Modality.DEPTH
    name = "depth" if is_depth else "frames"
    frames = prepared.samples[0][name]
    count, height, width = frames.shape[:3]
    original = tuple(prepared.context["size"])
    how: ResizeMode = getattr(preprocessor.parameters, "resize", "stretch")
    # A sequence that is too short repeats its last frame.
    different = min(count, prepared.context.get("frames", count))
    spans = even_spans(different, max(1, min(_SPANS, most)))
    grid = cells((width, height), (original[0], original[1]), how, max(1, most // len(spans)))
    pairs = [(span, cell) for span in spans for cell in grid]
    filling = frames.max() if is_depth else frames.mean(axis=(0, 1, 2))

    def mask(segment: int, sample: int) -> Sample:
        (start, stop), cell = pairs[segment]
        stop = count if stop == different else stop
        (top, bottom), (left, right) = cell.rows, cell.columns
        masked = frames.copy()
        masked[start:stop, top:bottom, left:right] = filling
        return {name: masked}

    return Occlusion(
        "cells of frames",
        "the farthest depth of the recording" if is_depth else "the mean colour of the video",
        [Segment(_place(pair, different, prepared)) for pair in pairs],
        mask,
        {"width": original[0], "height": original[1], **_duration(prepared)},
    )


def _duration(prepared: Prepared) -> dict[str, JsonValue]:
    return {key: prepared.context[key] for key in ("seconds", "frames") if key in prepared.context}


def _place(pair: tuple[Span, Cell], frames: int, prepared: Prepared) -> dict[str, JsonValue]:
    """Return a cell's box and its time: in seconds if they are known, else in frames."""
    (start, stop), cell = pair
    if (seconds := prepared.context.get("seconds")) is not None:
        time: dict[str, JsonValue] = {
            "start": round(start / frames * seconds, 3),
            "end": round(stop / frames * seconds, 3),
        }
    else:
        total = prepared.context.get("frames", frames)
        time = {
            "first_frame": start * total // frames,
            "last_frame": max(start * total // frames, stop * total // frames - 1),
        }
    return {"box": cell.box, **time}
