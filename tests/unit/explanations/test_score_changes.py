from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from omnivec2.explanations import score_changes
from omnivec2.explanations.occlusion import Occlusion, Segment
from omnivec2.explanations.score_changes import Explanation
from omnivec2.postprocess import postprocessor_for
from omnivec2.spec import HeadSpec, Target, TaskFamily
from tests.support.model_repositories.tiny_models import classification, head_spec


def explain(spec: HeadSpec, *arguments: Any) -> list[dict[str, Any]]:
    """Return explanations as JSON of any form."""
    postprocessor = postprocessor_for(spec.family)
    return [dict(one) for one in score_changes.explain(spec, postprocessor, *arguments)]


THREE = Occlusion("parts", "nothing", [Segment({"at": n}) for n in range(3)], lambda *_: {})
PAIRS = [(0, 0), (1, 0), (2, 0)]
CLASSES = classification("text/topic", "war", "peace")


def logits(*probabilities: float) -> dict[str, np.ndarray]:
    rows = [[math.log(p), math.log(1 - p)] for p in probabilities]
    return {"logits": np.array(rows, np.float32)}


def test_values_are_the_share_of_the_best_score_that_is_lost() -> None:
    (found,) = explain(CLASSES, THREE, PAIRS, logits(0.8), logits(0.4, 0.8, 0.9))
    Explanation.model_validate({"input": 0, **found})
    assert found["label"] == "war"
    assert found["score"] == pytest.approx(0.8)
    values = [segment["value"] for segment in found["segments"]]
    assert values == pytest.approx([0.5, 0.0, -0.125], abs=1e-6)


def test_a_score_close_to_one_still_tells_segments_apart() -> None:
    before = {"logits": np.array([[30.0, 0.0]], np.float32)}
    after = {"logits": np.array([[25.0, 0.0], [28.0, 0.0], [30.0, 0.0]], np.float32)}
    (found,) = explain(CLASSES, THREE, PAIRS, before, after)
    first, second, third = [segment["value"] for segment in found["segments"]]
    assert first > second > third == 0.0


def test_windows_count_with_their_share_of_the_mean() -> None:
    segments = [Segment({"at": 0}, (0,)), Segment({"at": 1}, (0, 1))]
    two = Occlusion("spans", "silence", segments, lambda *_: {})
    pairs = [(0, 0), (1, 0), (1, 1)]
    (found,) = explain(CLASSES, two, pairs, logits(0.9, 0.7), logits(0.5, 0.5, 0.5))
    values = [segment["value"] for segment in found["segments"]]
    assert found["score"] == pytest.approx(0.8)
    assert values == pytest.approx([(0.8 - 0.6) / 0.8, (0.8 - 0.5) / 0.8])
    assert found["evaluations"] == 3


def test_every_reached_label_of_a_head_with_thresholds_is_explained() -> None:
    spec = classification("text/moods", "joy", "fear", "anger", thresholds=(0.5, 0.3, 0.9))
    before = {"logits": np.array([[2.0, 0.0, -3.0]], np.float32)}
    after = {"logits": np.array([[2.0, -9.0, -3.0]] * 3, np.float32)}
    found = explain(spec, THREE, PAIRS, before, after)
    assert [one["label"] for one in found] == ["joy", "fear"]
    assert found[1]["segments"][0]["value"] == pytest.approx(1.0, abs=1e-3)
    low = {"logits": np.array([[-4.0, -2.0, -3.0]], np.float32)}
    assert [one["label"] for one in explain(spec, THREE, PAIRS, low, after)] == ["fear"]


def test_values_of_targets_are_in_their_unit() -> None:
    spec = head_spec(
        "graph/two",
        TaskFamily.REGRESSION,
        {"values": (2,)},
        targets=(Target(name="a", unit="mol/l"), Target(name="b")),
    )
    after = {"values": np.array([[1.0, 5.0], [2.0, 5.0], [4.0, 6.0]], np.float32)}
    first, second = explain(spec, THREE, PAIRS, {"values": np.array([[3.0, 5.0]])}, after)
    assert first["measure"] == "what the value loses without the segment, in mol/l"
    assert second["label"] == "b"
    values = [[segment["value"] for segment in one["segments"]] for one in (first, second)]
    assert values == [[2.0, 1.0, -1.0], [0.0, 0.0, -1.0]]
