"""A temperature makes scores as often right as they say, and changes no answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from omnivec2.training.adaptation.answer_forms import AnswerForm, probabilities
from omnivec2.training.adaptation.fitting.score_calibration import fit_temperature
from omnivec2.training.evaluation.metrics.class_metrics import calibration_error


def overconfident(count: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``factor`` times those that the classes were drawn by."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (count, 4))
    chances = softmax(logits, axis=1)
    labels = np.array([rng.choice(4, p=row) for row in chances])
    return logits * factor, labels


def of_classes(logits: np.ndarray) -> np.ndarray:
    return probabilities(logits, AnswerForm.CLASS)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_temperature_undoes_what_made_scores_wrong(factor: float) -> None:
    logits, labels = overconfident(3000, factor)
    temperature = fit_temperature(logits, labels, of_classes)
    assert temperature == pytest.approx(factor, rel=0.1)
    before = calibration_error(of_classes(logits), labels)
    after = calibration_error(of_classes(logits / temperature), labels)
    assert after < 0.03 < before


def test_tags_are_calibrated_by_their_own_probabilities() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (2000, 3))
    applies = (rng.random((2000, 3)) < expit(logits)).astype(np.uint8)
    found = fit_temperature(2.5 * logits, applies, lambda x: probabilities(x, AnswerForm.TAGS))
    assert found == pytest.approx(2.5, rel=0.1)


def test_a_few_right_answers_do_not_make_a_head_certain() -> None:
    logits = np.tile([1.0, 0.0], (10, 1))
    temperature = fit_temperature(logits, np.zeros(10, dtype=np.int64), of_classes)
    assert 0.3 < temperature < 1.0


def test_samples_without_an_answer_are_left_out() -> None:
    logits, labels = overconfident(1000, 3.0)
    logits[::2] = np.nan
    assert fit_temperature(logits, labels, of_classes) == pytest.approx(3.0, rel=0.15)
