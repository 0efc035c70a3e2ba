from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, InvalidParameterError
from omnivec2.generation import SearchOptions, encode_vocabulary
from omnivec2.postprocess import postprocessor_for
from omnivec2.spec import Generation, HeadSpec, Limits, Modality, TaskFamily
from omnivec2.wordpiece import END_ID, FIRST_WORD_ID, SIZE, START_ID, UNKNOWN_ID

IDS = {"ids": np.array([[1996, 3899, 1012, END_ID]])}
GENERATION = Generation(
    decoder="decoder",
    inputs=(),
    outputs=(),
    source="input_ids",
    vocabulary=encode_vocabulary(np.array([START_ID, END_ID, 1996]), SIZE),
    start_id=START_ID,
    end_id=END_ID,
    unknown_id=UNKNOWN_ID,
    first_word_id=FIRST_WORD_ID,
    max_new_tokens=64,
    max_beams=4,
)


@pytest.fixture
def spec(head) -> HeadSpec:
    limits = Limits(tokens=48)
    return head(TaskFamily.SUMMARIZATION, Modality.TEXT, generation=GENERATION, limits=limits)


def options(spec: HeadSpec, **parameters) -> SearchOptions:
    post = postprocessor_for(TaskFamily.SUMMARIZATION)
    return post.search_options(spec, post.parameters_type(**parameters))


def test_ids_become_tidy_text_unless_it_is_to_stay_as_it_is(spec, answer):
    assert answer(spec, IDS) == [{"summary_text": "The dog."}]
    untidy = answer(spec, IDS, clean_up_tokenization_spaces=False)
    assert untidy == [{"summary_text": "the dog ."}]


def test_the_texts_of_several_samples_are_joined(spec, answer):
    assert answer(spec, {"ids": IDS["ids"].repeat(2, axis=0)}) == [
        {"summary_text": "The dog. The dog."}
    ]


def test_a_text_that_was_cut_is_refused_only_on_request(spec, answer):
    for truncation in (None, "longest_first", "only_first"):
        assert answer(spec, IDS, {"cut": 7}, truncation=truncation)
    assert answer(spec, IDS, truncation="do_not_truncate")
    with pytest.raises(InvalidInputError, match="7 tokens longer than the 48"):
        answer(spec, IDS, {"cut": 7}, truncation="do_not_truncate")


def test_the_search_is_the_heads_own_without_parameters(spec):
    assert options(spec) == SearchOptions.of(GENERATION)


def test_parameters_of_the_search_may_be_in_either_place_and_the_inner_one_wins(spec):
    outer = {"num_beams": 2, "length_penalty": 0.5, "no_repeat_ngram_size": 0, "max_length": 9}
    expected = SearchOptions(9, num_beams=2, length_penalty=0.5, no_repeat_ngram_size=0)
    assert options(spec, **outer) == expected
    assert options(spec, generate_parameters=outer) == expected
    both = options(spec, num_beams=4, generate_parameters={"num_beams": 3})
    assert both.num_beams == 3
    assert options(spec, max_length=9, max_new_tokens=5).max_new_tokens == 5


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"max_new_tokens": 65}, "max_new_tokens"),
        ({"max_length": 65}, "max_length"),
        ({"generate_parameters": {"num_beams": 5}}, "generate_parameters.num_beams"),
    ],
)
def test_more_than_the_head_allows_is_an_error_that_names_the_parameter(spec, parameters, field):
    with pytest.raises(InvalidParameterError, match=f"{field} must be at most") as caught:
        options(spec, **parameters)
    assert caught.value.field == f"parameters.{field}"


def test_other_families_search_with_the_defaults_of_their_head(head):
    other = head(TaskFamily.CLASSIFICATION, Modality.TEXT, generation=GENERATION)
    post = postprocessor_for(TaskFamily.CLASSIFICATION)
    assert post.search_options(other, post.parameters_type()) == SearchOptions.of(GENERATION)
