from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import TooLargeError
from omnivec2.preprocess.formats.tables.table_limits import check_columns, check_rows, make_frame
from omnivec2.spec import Limits

ONE = np.array([1.0])


@pytest.mark.parametrize("index", ["", "Unnamed: 0", "__index_level_0__"])
def test_the_index_column_of_a_data_frame_is_left_out(index):
    assert list(make_frame([index, "a"], [ONE, ONE], named=True).columns) == ["a"]
    assert len(make_frame([index], [ONE], named=True).columns) == 1


def test_columns_without_a_name_are_named_by_position():
    frame = make_frame(["a", "", "b"], [ONE, ONE, ONE], named=True)
    assert list(frame.columns) == ["a", "column 2", "b"]


def test_of_equal_columns_with_one_name_one_is_kept_and_of_different_ones_none():
    assert list(make_frame(["a", "a"], [ONE, ONE.copy()], named=True).columns) == ["a"]
    frame = make_frame(["a", "a", "b"], [ONE, ONE + 1, ONE], named=True)
    assert list(frame.columns) == ["b"]
    assert frame.twice == {"a"}


def test_limits_are_inclusive_and_none_means_any_number():
    check_columns(2, Limits(columns=2))
    check_rows(2, Limits(rows=2))
    check_columns(10**6, Limits())
    check_rows(10**6, Limits())
    with pytest.raises(TooLargeError, match="3 columns; at most 2"):
        check_columns(3, Limits(columns=2))
    with pytest.raises(TooLargeError, match="3 rows; at most 2"):
        check_rows(3, Limits(rows=2))
