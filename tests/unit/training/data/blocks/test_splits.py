from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from omnivec2.errors import ArtifactError
from omnivec2.training.data.blocks.examples import Example, Origin, ProblemKind
from omnivec2.training.data.blocks.splits import AnySplit, default_split

RULE = TypeAdapter(AnySplit)


def examples(count=60, **columns):
    """Texts in three classes, the last of which is rare."""
    return [
        Example(
            f"text {index}",
            "rare" if index % 20 == 0 else "ab"[index % 2],
            Origin("a.csv", index + 1),
            columns={name: values[index] for name, values in columns.items()},
        )
        for index in range(count)
    ]


def assign(rule, found):
    problems = []
    parts = RULE.validate_python(rule).assign(found, [e.target for e in found], problems)
    return parts, problems


def test_shares_are_drawn_class_by_class_and_stay_the_same():
    found = examples(200)
    parts, _ = assign({"by": "shares", "val": 0.2, "test": 0.2}, found)
    again, _ = assign({"by": "shares", "val": 0.2, "test": 0.2}, found)
    other, _ = assign({"by": "shares", "val": 0.2, "test": 0.2, "seed": 1}, found)
    assert list(parts) == list(again) != list(other)
    for name in ("a", "b", "rare"):
        own = Counter(parts[index] for index, e in enumerate(found) if e.target == name)
        assert own["test"] == own["val"] == round(0.2 * sum(own.values()))


def test_a_part_has_a_sample_where_every_class_is_too_small_for_its_share():
    found = [Example(f"t{n}", f"class {n}", Origin("a.csv", n)) for n in range(10)]
    parts, _ = assign({"by": "shares"}, found)
    assert Counter(parts) == {"train": 8, "val": 1, "test": 1}


def test_given_parts_are_taken_in_any_usual_spelling_and_missing_ones_are_held_out():
    stated = ["Training"] * 40 + ["dev"] * 20
    parts, problems = assign({"by": "given", "column": "part"}, examples(part=stated))
    assert not problems
    assert set(parts[40:]) == {"val"}
    assert Counter(parts[:40]) == {"train": 36, "test": 4}


def test_parts_may_be_spelled_in_any_way_and_left_out():
    stated = ([1] * 20) + ([2] * 20) + ([3] * 10) + (["unused"] * 10)
    rule = {"by": "given", "column": "fold", "parts": {"train": [1, 2], "test": 3}}
    parts, problems = assign({**rule, "ignore": ["unused"]}, examples(fold=stated))
    assert not problems
    assert Counter(parts) == {"train": 36, "val": 4, "test": 10, "": 10}
    _, problems = assign(rule, examples(fold=stated))
    assert [p.origin.row for p in problems] == list(range(51, 61))
    assert problems[0].kind is ProblemKind.UNKNOWN_PART


def test_groups_stay_together():
    groups = [f"patient {index // 4}" for index in range(60)]
    parts, _ = assign({"by": "group", "column": "who", "test": 0.2}, examples(who=groups))
    for name in set(groups):
        assert len({parts[i] for i, group in enumerate(groups) if group == name}) == 1
    assert Counter(parts) == {"train": 44, "val": 4, "test": 12}


def test_equal_molecules_stay_together_however_they_are_written():
    found = [Example(s, 0.5, Origin("a.csv", n)) for n, s in enumerate(["CCO", "OCC"] * 10)]
    found += [Example("C" * n, 0.5, Origin("b.csv", n)) for n in range(1, 20)]
    parts, _ = assign({"by": "input"}, found)
    assert len(set(parts[:20])) == 1


def test_dates_divide_in_time_by_share_or_at_moments():
    days = np.datetime64("2024-01-01") + np.random.default_rng(0).permutation(60)
    found = examples(day=[str(day) for day in days])
    parts, problems = assign({"by": "date", "column": "day", "val": 0.1, "test": 0.2}, found)
    assert not problems
    assert Counter(parts) == {"train": 42, "val": 6, "test": 12}
    assert days[parts == "train"].max() < days[parts == "val"].min()
    assert days[parts == "val"].max() < days[parts == "test"].min()
    rule = {"by": "date", "column": "day", "val_from": "2024-02-01", "test_from": "2024-02-11"}
    parts, _ = assign(rule, found)
    assert Counter(parts) == {"train": 31, "val": 10, "test": 19}


def test_cells_that_are_no_dates_are_named_and_in_no_part():
    days = [f"2024-03-{1 + index % 30:02}" for index in range(60)]
    days[5], days[8] = "soon", ""
    parts, problems = assign({"by": "date", "column": "day"}, examples(day=days))
    assert {(p.kind, p.origin.row) for p in problems} == {
        (ProblemKind.BAD_DATE, 6),
        (ProblemKind.BAD_DATE, 9),
    }
    assert parts[5] == parts[8] == ""


@pytest.mark.parametrize("group", [None, "who"])
def test_every_example_is_tested_in_exactly_one_fold(group):
    found = examples(who=[f"p{index // 3}" for index in range(60)])
    tested = np.zeros(60, dtype=int)
    for fold in range(1, 5):
        parts, _ = assign({"by": "fold", "folds": 4, "fold": fold, "group": group}, found)
        tested += parts == "test"
        assert {"train", "val", "test"} == set(parts)
        if group:
            owners = {}
            for part, example in zip(parts, found, strict=True):
                owners.setdefault(example.columns["who"], set()).add(part)
            assert all(len(own) == 1 for own in owners.values())
    assert tested.tolist() == [1] * 60


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"by": "fold", "folds": 3, "fold": 4}, "fold 4 is none of 3"),
        ({"by": "shares", "val": 0.6, "test": 0.5}, "less than 1"),
        ({"by": "magic"}, "'given', 'shares'"),
    ],
)
def test_an_impossible_rule_is_refused(rule, words):
    with pytest.raises(ValidationError, match=words):
        RULE.validate_python(rule)


def test_more_folds_than_examples_are_refused():
    with pytest.raises(ArtifactError, match="99 folds cannot be made"):
        assign({"by": "fold", "folds": 99, "fold": 1}, examples(20))


def test_without_a_rule_the_parts_of_the_data_are_taken_or_shares_drawn():
    assert default_split(examples()).model_dump()["by"] == "shares"
    stated = [Example("t", "a", Origin("a"), part="train")]
    assert default_split(stated).model_dump()["by"] == "given"
