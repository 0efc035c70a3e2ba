"""The distance of answers in metric points, for every family."""

from __future__ import annotations

import numpy as np
import pytest

from omnivec2.accuracy_gate import TOLERANCES, measure
from omnivec2.spec import HeadSpec, TaskFamily
from tests.support.model_repositories.tiny_models import classification, head_spec

RNG = np.random.default_rng(0)
CLASSES = classification("imu/activity", "walking", "sitting")
LABELS = CLASSES.model_copy(update={"thresholds": (0.5, 0.5)})
MAPS = head_spec("image/depth", TaskFamily.REGRESSION, {"values": (1, 8, 12)})
VALUES = head_spec("graph/solubility", TaskFamily.REGRESSION, {"values": (1,)})
SERIES = head_spec("timeseries/forecast", TaskFamily.FORECASTING, {"mean": (4,)})
SCENE = head_spec("image/segmentation", TaskFamily.SEGMENTATION, {"logits": (2, 8, 12)})
BOXES = head_spec("image/detection", TaskFamily.DETECTION, {"logits": (5, 3), "boxes": (5, 4)})
EMBEDDING = head_spec("image/embedding", TaskFamily.EMBEDDING, {"embedding": (16,)})
WRITER = head_spec("text/summary", TaskFamily.SUMMARIZATION, {"memory": (-1, 4)})


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def boxes(rows: int, queries: int) -> np.ndarray:
    return RNG.uniform(0.2, 0.5, (rows, queries, 4)).astype(np.float32)


EXAMPLES = [
    (CLASSES, {"logits": floats(4, 2)}),
    (LABELS, {"logits": floats(4, 2)}),
    (MAPS, {"values": floats(2, 1, 8, 12)}),
    (VALUES, {"values": floats(4, 1)}),
    (SERIES, {"mean": floats(3, 4), "quantiles": floats(3, 2, 4)}),
    (SCENE, {"logits": floats(2, 2, 8, 12)}),
    (SCENE, {"logits": floats(2, 6, 2)}),
    (BOXES, {"logits": floats(2, 5, 3), "boxes": boxes(2, 5)}),
    (EMBEDDING, {"embedding": floats(3, 16)}),
    (WRITER, {"generated": np.full((2, 3, 4), 0.2), "copied": np.full((2, 3, 2), 0.1)}),
]


@pytest.mark.parametrize(("spec", "outputs"), EXAMPLES)
def test_equal_answers_have_no_distance_and_others_have_one(
    spec: HeadSpec, outputs: dict[str, np.ndarray]
) -> None:
    assert measure(spec, outputs, outputs) == pytest.approx(0, abs=1e-9)
    for name, array in outputs.items():
        wrong = {**outputs, name: np.roll(array * 1.5, 1, axis=-1) + 0.1}
        assert measure(spec, outputs, wrong) > 1


@pytest.mark.parametrize(("spec", "outputs"), EXAMPLES)
def test_answers_without_a_value_are_infinitely_far(
    spec: HeadSpec, outputs: dict[str, np.ndarray]
) -> None:
    for name, array in outputs.items():
        bad = array.copy()
        bad[(0,) * array.ndim] = np.nan
        others = {key: value for key, value in outputs.items() if key != name}
        for answers in (others, {**outputs, name: bad}, {**outputs, name: array[:, :1]}):
            if answers.get(name, bad[:0]).shape != array.shape or answers[name] is bad:
                assert measure(spec, outputs, answers) == float("inf")


def test_every_family_has_a_tolerance() -> None:
    assert set(TOLERANCES) == set(TaskFamily)


def test_a_point_of_a_classifier_is_a_hundredth_of_probability_that_moved() -> None:
    exact = np.log([[0.50, 0.50], [0.9, 0.1]])
    given = np.log([[0.53, 0.47], [0.9, 0.1]])
    assert measure(CLASSES, {"logits": exact}, {"logits": given}) == pytest.approx(1.5)


def test_a_point_of_a_regression_is_a_hundredth_of_the_spread_of_the_quantity() -> None:
    exact = np.array([[1.0], [3.0]])
    scales = np.array([2.0])
    assert measure(VALUES, {"values": exact}, {"values": exact + 0.02}, scales) == pytest.approx(1)
    assert measure(VALUES, {"values": exact}, {"values": exact + 0.02}) == pytest.approx(2)


def test_a_point_of_a_forecast_is_a_hundredth_of_the_spread_of_the_series() -> None:
    exact = np.zeros((2, 4))
    given = exact + np.array([[0.1], [1.0]])
    scales = np.array([[10.0], [100.0]])
    assert measure(SERIES, {"mean": exact}, {"mean": given}, scales) == pytest.approx(1)


def test_a_point_of_a_segmentation_is_a_hundredth_of_the_cells_that_changed_their_class() -> None:
    exact = np.zeros((1, 2, 10, 10))
    exact[:, 0] = 1
    given = exact.copy()
    given[0, 1, 0, :3] = 2
    assert measure(SCENE, {"logits": exact}, {"logits": given}) == pytest.approx(3)


def test_a_query_that_finds_nothing_hardly_counts_in_a_detection() -> None:
    logits = np.array([[[5.0, 0, 0], [0, 0, 9.0]]])  # an object; nothing
    places = np.array([[[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2]]])
    exact = {"logits": logits, "boxes": places}
    moved = places + 0.02

    def distance(query: int) -> float:
        given = places.copy()
        given[0, query] = moved[0, query]
        return measure(BOXES, exact, {"logits": logits, "boxes": given})

    assert distance(0) > 20
    assert distance(1) < 0.1


def test_embeddings_are_compared_by_their_direction() -> None:
    exact = np.array([[1.0, 0.0]])
    assert measure(EMBEDDING, {"embedding": exact}, {"embedding": 3 * exact}) == pytest.approx(0)
    turned = np.array([[np.cos(0.1), np.sin(0.1)]])
    points = measure(EMBEDDING, {"embedding": exact}, {"embedding": turned})
    assert points == pytest.approx(100 * (1 - np.cos(0.1)))


def test_a_point_of_labels_is_a_hundredth_of_their_probability():
    reference = {"logits": np.zeros((3, 2))}
    answers = {"logits": np.full((3, 2), np.log(0.51 / 0.49))}
    assert measure(LABELS, reference, answers) == pytest.approx(1.0)


def test_a_point_of_a_map_is_a_hundredth_of_the_spread_of_its_pixels():
    values = np.array([[[[-1.0, 1.0]]], [[[1.0, -1.0]]]])
    assert measure(MAPS, {"values": values}, {"values": values + 0.01}) == pytest.approx(1.0)
