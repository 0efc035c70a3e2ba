from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pytest

from omnivec2.training.data.blocks.example_dates import first_moment, read_dates
from omnivec2.training.data.blocks.examples import Example, Origin, Problem, ProblemKind

DAY = 86_400.0


def examples(*days: object) -> list[Example]:
    return [
        Example("text", "a", Origin("a.csv", row), columns={"day": day})
        for row, day in enumerate(days, 1)
    ]


@pytest.mark.parametrize(
    "day",
    ["1970-01-02", date(1970, 1, 2), datetime(1970, 1, 2), np.datetime64("1970-01-02")],
    ids=str,
)
def test_dates_of_every_form_are_seconds_since_1970(day: object) -> None:
    problems: list[Problem] = []
    assert read_dates(examples(day), "day", problems).tolist() == [DAY]
    assert problems == []


def test_a_cell_that_is_no_date_is_named_and_has_no_moment() -> None:
    problems: list[Problem] = []
    seconds = read_dates(examples("1970-01-02", "soon", ""), "day", problems)
    assert seconds[0] == DAY
    assert np.isnan(seconds[1:]).all()
    assert {problem.kind for problem in problems} == {ProblemKind.BAD_DATE}
    assert {problem.origin.row for problem in problems} == {2, 3}


def test_a_part_begins_at_the_given_moment_or_where_a_share_ends() -> None:
    known = np.arange(10) * DAY
    assert first_moment(known, date(1970, 1, 3), 0.5) == 2 * DAY
    assert first_moment(known, None, 0.5) == 5 * DAY
    assert first_moment(known, None, 1.0) == 9 * DAY
