from __future__ import annotations

import math

import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.points.number_format import NumberFormat, format_of


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("1 2.5 3", NumberFormat(None)),
        ("1,2.5,3", NumberFormat(",")),
        ("1,5 2,5 3,0", NumberFormat(None, decimal_comma=True)),
        ("1,5;2,5;3", NumberFormat(";", decimal_comma=True)),
        ("1.234,5;2;3", NumberFormat(";", decimal_comma=True, thousands=True)),
    ],
)
def test_the_format_follows_from_the_first_lines(line: str, form: NumberFormat) -> None:
    assert format_of([line, line]) == form


def test_decimal_commas_beside_decimal_points_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="one decimal mark"):
        format_of(["1,5;2.5;3"])


def test_a_cell_is_a_number_a_missing_number_or_neither() -> None:
    form = NumberFormat(";", decimal_comma=True, thousands=True)
    assert form.number("1.234,5") == 1234.5
    assert form.number("1D3") == 1000
    assert math.isnan(form.number("n/a") or 0)
    assert form.number("wall") is None
