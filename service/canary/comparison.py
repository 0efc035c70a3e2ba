"""How much the answers of two versions of a head differ, in the form that callers get them.

::

    labels     the best label differs, or the set of labels where an input has any number
    the rest   the distance is above the canary's tolerance

Distances are 0 for equal answers and about 1 for answers that have nothing in common.
"""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from omnivec2.spec import HeadSpec, TaskFamily

_LARGEST_DISTANCE = 1e6
_SAME_OBJECT_OVERLAP = 0.5
"""The least intersection over union at which two boxes are of one object, as in AP50."""


@dataclass(frozen=True)
class Comparison:
    """Two answers to one input.

    Attributes:
        differs: Whether a caller would call them different.
        distance: The distance between them.
        labels: The best label of each, where labels decide; None elsewhere.
    """

    differs: bool
    distance: float
    labels: tuple[str, str] | None = None


def compare_answers(
    spec: HeadSpec, tolerance: float, served: JsonValue, candidate: JsonValue
) -> list[Comparison]:
    """Compare the answers of two versions of a head to the inputs of one request.

    Args:
        spec: The spec of the head.
        tolerance: The distance above which answers without labels differ.
        served: The answer of the version that is served.
        candidate: The answer of the other one.

    Returns:
        One comparison for each input or row that has labels; one for all together otherwise.
    """
    if spec.family is TaskFamily.CLASSIFICATION:
        return _compare_labels(spec, served, candidate)
    distance = _DISTANCES.get(spec.family, _structure_distance)(served, candidate)
    return [Comparison(not distance <= tolerance, distance)]


def _compare_labels(spec: HeadSpec, served: JsonValue, candidate: JsonValue) -> list[Comparison]:
    old, new = list(_label_rows(served)), list(_label_rows(candidate))
    if len(old) != len(new):
        return [Comparison(True, 1.0)]
    return [_compare_scores(spec, *rows) for rows in zip(old, new, strict=True)]


def _compare_scores(
    spec: HeadSpec, old: Mapping[str, float], new: Mapping[str, float]
) -> Comparison:
    """Compare the labels of one input, best first, with their scores."""
    shared = old.keys() & new.keys()
    gaps = [abs(old[label] - new[label]) for label in shared]
    distance = max(gaps, default=0.0 if old.keys() == new.keys() else 1.0)
    best = (next(iter(old), ""), next(iter(new), ""))
    if spec.is_multi_label:
        return Comparison(old.keys() != new.keys(), distance, best)
    return Comparison(best[0] != best[1], distance, best)


def _label_rows(value: JsonValue) -> Iterator[dict[str, float]]:
    """Yield label -> score of every row of an answer; labels of tables have no scores."""
    if isinstance(value, str):
        yield {value: 1.0}
    elif isinstance(value, list):
        if all(isinstance(entry, dict) for entry in value):
            yield {str(entry["label"]): _number(entry["score"]) for entry in _objects(value)}
        else:
            for entry in value:
                yield from _label_rows(entry)


def _cosine_distance(served: JsonValue, candidate: JsonValue) -> float:
    old, new = list(_numbers(served)), list(_numbers(candidate))
    lengths = math.hypot(*old) * math.hypot(*new)
    if len(old) != len(new) or not lengths:
        return 0.0 if old == new else 1.0
    return max(0.0, 1.0 - sum(a * b for a, b in zip(old, new, strict=True)) / lengths)


def _structure_distance(served: JsonValue, candidate: JsonValue) -> float:
    """Return the sum of the numbers' differences relative to the numbers; texts count as 0 or 1."""
    gap, size = _differences(served, candidate)
    if not gap:
        return 0.0
    return min(gap / size, _LARGEST_DISTANCE) if size else 1.0


def _differences(old: JsonValue, new: JsonValue) -> tuple[float, float]:
    """Return how much the leaves of two values differ, and how large those of the first are."""
    if _is_number(old) and _is_number(new):
        first, second = _number(old), _number(new)
        return abs(first - second), abs(first)
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        pairs = [(old[key], new[key]) for key in old]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = list(zip(old, new, strict=True))
    else:
        return (0.0, 0.0) if old == new else (1.0, 1.0)
    sums = [_differences(*pair) for pair in pairs]
    return sum(gap for gap, _ in sums), sum(size for _, size in sums)


def _text_distance(served: JsonValue, candidate: JsonValue) -> float:
    """Return 1 minus the F1 of the words that two texts have in common."""
    old, new = (Counter(" ".join(_texts(value)).split()) for value in (served, candidate))
    if not old and not new:
        return 0.0
    return 1.0 - 2.0 * (old & new).total() / (old.total() + new.total())


def _object_distance(served: JsonValue, candidate: JsonValue) -> float:
    """Return the share of objects that have no counterpart of the same label at their place."""
    old, left = _objects(served), _objects(candidate)
    total = len(old) + len(left)
    matched = 0
    for entry in old:
        overlaps = [
            _overlap(entry["box"], other["box"]) if entry["label"] == other["label"] else 0.0
            for other in left
        ]
        if overlaps and max(overlaps) >= _SAME_OBJECT_OVERLAP:
            left.pop(overlaps.index(max(overlaps)))
            matched += 1
    return 1.0 - 2.0 * matched / total if total else 0.0


def _overlap(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Return the intersection over union of two boxes."""
    width = min(first["xmax"], second["xmax"]) - max(first["xmin"], second["xmin"])
    height = min(first["ymax"], second["ymax"]) - max(first["ymin"], second["ymin"])
    shared = max(0.0, width) * max(0.0, height)
    whole = _area(first) + _area(second) - shared
    return shared / whole if whole else 1.0


def _area(box: Mapping[str, float]) -> float:
    return (box["xmax"] - box["xmin"]) * (box["ymax"] - box["ymin"])


def _segment_distance(served: JsonValue, candidate: JsonValue) -> float:
    """Return the share of pixels, or of points, that get another label."""
    if isinstance(served, dict) and isinstance(candidate, dict):
        return _unequal(served.get("labels"), candidate.get("labels"))
    old, new = (_masks(value) for value in (served, candidate))
    # Of every label the pixels in one mask but not in both, relative to those in any.
    either = sum((old.get(k, 0) | new.get(k, 0)).bit_count() for k in old.keys() | new.keys())
    both = sum((old[k] & new[k]).bit_count() for k in old.keys() & new.keys())
    return 1.0 - both / either if either else 0.0


def _unequal(old: JsonValue, new: JsonValue) -> float:
    if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new):
        return 1.0
    differing = sum(first != second for first, second in zip(old, new, strict=True))
    return differing / len(old) if old else 0.0


def _masks(value: JsonValue, prefix: str = "") -> dict[str, int]:
    """Return input and label -> the pixels of its mask, as the bits of a number."""
    from PIL import Image  # segmentation draws its masks with it

    masks: dict[str, int] = {}
    for index, entry in enumerate(value if isinstance(value, list) else []):
        if isinstance(entry, list):
            masks |= _masks(entry, f"{prefix}{index}/")
        elif isinstance(entry, dict):
            with Image.open(io.BytesIO(base64.b64decode(str(entry["mask"])))) as picture:
                pixels = picture.convert("1").tobytes()
            masks[f"{prefix}{entry['label']}"] = int.from_bytes(pixels)
    return masks


def _objects(value: JsonValue) -> list[dict[str, Any]]:
    """Return the objects in an answer to one or several inputs."""
    if not isinstance(value, list):
        return []
    nested = [_objects(entry) if isinstance(entry, list) else [entry] for entry in value]
    return [entry for entries in nested for entry in entries if isinstance(entry, dict)]


def _numbers(value: JsonValue) -> Iterator[float]:
    if _is_number(value):
        yield _number(value)
    elif isinstance(value, list):
        for entry in value:
            yield from _numbers(entry)


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _texts(entry)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


_Distance = Callable[[JsonValue, JsonValue], float]
_DISTANCES: Mapping[TaskFamily, _Distance] = {
    TaskFamily.EMBEDDING: _cosine_distance,
    TaskFamily.DETECTION: _object_distance,
    TaskFamily.SEGMENTATION: _segment_distance,
    TaskFamily.SUMMARIZATION: _text_distance,
}
"""The distance of a family; numbers of the others are compared as they are."""
