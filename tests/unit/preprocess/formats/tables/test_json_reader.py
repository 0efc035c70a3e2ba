from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.json_reader import read_json
from omnivec2.spec import Limits

LIMITS = Limits(rows=1_000, columns=20, decoded_bytes=2**20)


def test_json_rows_columns_and_lists_give_the_same_values():
    for value in (
        [{"a": 1, "b": 2}, {"a": 3, "b": None}],
        {"a": [1, 3], "b": [2, None]},
        {"table": {"a": [1, 3], "b": [2, None]}},
        [[1, 2], [3, None]],
    ):
        frame = read_json(value, LIMITS, text_numbers=False)
        first, second = frame.columns
        assert frame.numbers(first).tolist() == [1, 3]
        np.testing.assert_array_equal(frame.numbers(second), [2, np.nan])


def test_a_list_of_numbers_is_one_column():
    frame = read_json([1, 2, None], LIMITS, text_numbers=False)
    assert not frame.named
    assert frame.rows == 3


def test_a_string_is_no_number_unless_allowed():
    strict = read_json({"a": [1, "2"]}, LIMITS, text_numbers=False)
    with pytest.raises(InvalidInputError, match=r"column 'a', row 2.*the string '2'"):
        strict.numbers("a")
    assert read_json({"a": [1, "2"]}, LIMITS, text_numbers=True).numbers("a").tolist() == [1, 2]


@pytest.mark.parametrize("value", [[[1], [1, 2]], [[]], [[1], 2], [[[1]]], [{"a": 1}, 3], "x"])
def test_json_that_is_no_table_is_refused(value):
    with pytest.raises(InvalidInputError):
        read_json(value, LIMITS, text_numbers=False)
