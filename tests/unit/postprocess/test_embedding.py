from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from omnivec2.errors import InvalidParameterError
from omnivec2.spec import TaskFamily

VECTORS = {"embedding": np.array([[3.0, 4.0], [6.0, 8.0]], dtype=np.float32)}
ONE = {"embedding": VECTORS["embedding"][:1]}


@pytest.fixture
def spec(head):
    return head(TaskFamily.EMBEDDING)


def test_vectors_have_length_one_unless_requested_otherwise(spec, answer):
    assert answer(spec, ONE) == [[pytest.approx(0.6), pytest.approx(0.8)]]
    assert answer(spec, ONE, normalize=False) == [[3.0, 4.0]]


def test_the_answer_is_a_flat_list_of_vectors_however_many_inputs(spec, answer):
    assert np.shape(answer(spec, ONE)) == (1, 2)
    assert np.shape(answer(spec, ONE, inputs=3, batched=True)) == (3, 2)
    rows = answer(spec, VECTORS, {"reduce": "each"}, inputs=2, batched=True)
    assert np.shape(rows) == (4, 2)


@pytest.mark.parametrize("context", [{"reduce": "mean"}, {"grid": (1, 2)}])
def test_parts_of_one_input_are_averaged_before_normalising(spec, answer, context):
    assert answer(spec, VECTORS, context, normalize=False) == [[4.5, 6.0]]
    assert answer(spec, VECTORS, context) == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_pixels_that_hold_no_data_are_left_out_of_the_mean(spec, answer):
    context = {"grid": (1, 2), "measured": np.array([[True, False]])}
    first = np.asarray(VECTORS["embedding"])[0].tolist()
    assert answer(spec, VECTORS, context, normalize=False) == [first]


def test_a_vector_of_zeros_is_not_normalised(spec, answer):
    assert answer(spec, {"embedding": np.zeros((1, 2))}) == [[0.0, 0.0]]


def test_the_clients_parameters_are_taken_where_they_mean_something(spec, answer):
    plain = answer(spec, ONE)
    taken = {
        "truncate": True,
        "truncation_direction": "right",
        "dimensions": 2,
        "encoding_format": "float",
        "prompt_name": None,
    }
    assert answer(spec, ONE, **taken) == plain
    for refused in ({"prompt_name": "query"}, {"truncation_direction": "left"}, {"dimensions": 3}):
        with pytest.raises(InvalidParameterError):
            answer(spec, ONE, **refused)
    with pytest.raises(ValidationError):
        answer(spec, ONE, encoding_format="base64")


def test_a_shorter_vector_is_the_beginning_of_the_whole_one_at_length_one(spec, answer):
    whole = answer(spec, ONE, normalize=False)
    assert answer(spec, ONE, normalize=False, dimensions=1) == [whole[0][:1]]
    assert answer(spec, ONE, dimensions=1) == [[1.0]]
