"""ROUGE, compared with the results of the package rouge-score 0.1.2 with its defaults."""

from __future__ import annotations

import pytest

from omnivec2.training.evaluation.rouge import rouge1, rouge2, rouge_l

FOUND = "The patient denies chest pain but has had a cough for 3.5 days."
WANTED = "Patient has a cough for three days, and denies any chest pain."


def test_figures_are_those_of_rouge_score() -> None:
    assert rouge1([FOUND], [[WANTED]]) == pytest.approx(0.6923076923076924)
    assert rouge2([FOUND], [[WANTED]]) == pytest.approx(0.25)
    assert rouge_l([FOUND], [[WANTED]]) == pytest.approx(0.4615384615384615)


@pytest.mark.parametrize("measure", [rouge1, rouge2, rouge_l])
def test_the_same_words_are_all_there_is_to_find(measure) -> None:
    assert measure(["No  Fever!"], [["no fever"]]) == 1.0
    assert measure(["fever"], [["cough at night"]]) == 0.0
    assert measure([""], [["cough"]]) == 0.0


def test_several_references_and_samples_are_averaged() -> None:
    assert rouge1(["a b", "c"], [["a b", "x y"], ["c"]]) == pytest.approx(0.75)


def test_a_subsequence_need_not_be_in_one_piece_but_in_order() -> None:
    assert rouge_l(["a x b y c"], [["a b c"]]) == pytest.approx(2 * 3 / 8)
    assert rouge_l(["c b a"], [["a b c"]]) == pytest.approx(1 / 3)
