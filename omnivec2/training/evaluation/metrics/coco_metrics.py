"""Average precision of boxes as the COCO challenge measures it, by its own library."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from omnivec2.preprocess import Array

_SIDE = 1000.0
"""The side of the pictures that relative boxes are drawn into; overlaps do not depend on it."""

_AP, _AP50, _AP75 = 0, 1, 2
"""Places in the figures of ``COCOeval``."""


def _measure(
    place: int,
) -> Callable[[Sequence[dict[str, Array]], Sequence[dict[str, Array]]], float]:
    def measure(found: Sequence[dict[str, Array]], references: Sequence[dict[str, Array]]) -> float:
        """Compute average precision, the mean over classes.

        Args:
            found: The predictions, per picture ``boxes`` [m, 4] (cx, cy, w, h in 0..1),
                ``labels`` [m] and ``scores`` [m].
            references: The real objects, per picture ``boxes`` [n, 4] and ``labels`` [n]; where
                there are crowds, ``crowds`` [k, 4] and ``crowd_labels`` [k].
        """
        return _coco_figures(found, references)[place]

    return measure


ap = _measure(_AP)
ap.__doc__ = "Compute the mean of average precision at overlaps of 0.5, 0.55 … 0.95 (COCO's AP)."
coco_ap50, coco_ap75 = _measure(_AP50), _measure(_AP75)


def _coco_figures(
    found: Sequence[dict[str, Array]], references: Sequence[dict[str, Array]]
) -> list[float]:
    """Return the figures of ``COCOeval``; -1, which it gives without any object, becomes NaN."""
    objects = [box for i, one in enumerate(references) for box in _annotations(i, one)]
    crowds = [box for i, one in enumerate(references) for box in _annotations(i, _crowds(one))]
    truth = objects + crowds
    for number, annotation in enumerate(truth, start=1):
        annotation |= {"id": number, "iscrowd": int(number > len(objects))}
    guesses = [box for i, one in enumerate(found) for box in _annotations(i, one)]
    classes = sorted({box["category_id"] for box in (*truth, *guesses)})
    if not objects:
        return [float("nan")] * 3
    if not guesses:
        return [0.0] * 3
    with redirect_stdout(io.StringIO()):  # the library prints its progress
        data = COCO()
        data.dataset = {
            "images": [{"id": number} for number in range(len(references))],
            "annotations": truth,
            "categories": [{"id": number} for number in classes],
        }
        data.createIndex()
        answers = COCO()
        for number, guess in enumerate(guesses, start=1):
            guess |= {"id": number, "iscrowd": 0}
        answers.dataset = {**data.dataset, "annotations": guesses}
        answers.createIndex()
        evaluation = COCOeval(data, answers, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) if value >= 0 else float("nan") for value in evaluation.stats[:3]]


def _crowds(reference: dict[str, Array]) -> dict[str, Array]:
    return {
        "boxes": reference.get("crowds", np.zeros((0, 4))),
        "labels": reference.get("crowd_labels", np.zeros(0, np.int64)),
    }


def _annotations(picture: int, boxes: dict[str, Array]) -> list[dict[str, Any]]:
    scores = boxes.get("scores", np.ones(len(boxes["labels"])))
    return [
        {
            "image_id": picture,
            "category_id": int(label),
            "bbox": [(cx - w / 2) * _SIDE, (cy - h / 2) * _SIDE, w * _SIDE, h * _SIDE],
            "area": w * h * _SIDE**2,
            "score": float(score),
        }
        for (cx, cy, w, h), label, score in zip(
            np.asarray(boxes["boxes"], np.float64).tolist(), boxes["labels"], scores, strict=True
        )
    ]
