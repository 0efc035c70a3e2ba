"""The parts of series: by date, by shares of their steps, by whole series, or as files state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.training.data.annotations.series.series_tables import TableSeries
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.part_names import part_of_name
from omnivec2.training.data.blocks.splits import (
    DateSplit,
    GivenSplit,
    GroupSplit,
    SharesSplit,
    SplitRule,
)
from omnivec2.training.data.blocks.windows.forecast_windows import Bounds

_DEFAULT = SharesSplit(val=0.1, test=0.2)


def series_parts(rule: SplitRule | None, examples: Sequence[Example]) -> list[Bounds]:
    """Return the steps of every part of each series.

    Args:
        rule: The rule of the recipe: ``date`` with ``val_from`` and ``test_from``, ``shares`` of
            the steps in the order of time, ``group`` for whole series, ``given`` for files.
        examples: The series, as targets of examples.

    Raises:
        ArtifactError: The rule cannot divide series, or there are none.
    """
    if not examples:
        raise ArtifactError("there are no series")
    if rule is None and any(example.part for example in examples):
        rule = GivenSplit()
    if isinstance(rule, GivenSplit):
        return _given(examples)
    if isinstance(rule, GroupSplit):
        return _whole(rule, examples)
    if isinstance(rule, DateSplit):
        return [_by_date(rule, example) for example in examples]
    if rule is None or isinstance(rule, SharesSplit):
        return [_by_shares(rule or _DEFAULT, len(example.target.values)) for example in examples]
    raise ArtifactError(f"split: by: {rule.by} cannot divide series; expected date or shares")  # type: ignore[attr-defined]


def _given(examples: Sequence[Example]) -> list[Bounds]:
    """Return whole series as the parts of their files; missing parts are taken from ``train``."""
    parts = {part_of_name(example.part or "") for example in examples}
    if "train" not in parts:
        raise ArtifactError("no file is of the part train")
    found: list[Bounds] = []
    for example in examples:
        part, steps = part_of_name(example.part or "") or "", len(example.target.values)
        if part == "train":
            val = 0.0 if "val" in parts else _DEFAULT.val
            test = 0.0 if "test" in parts else _DEFAULT.test
            found.append(_cut(steps, round(steps * (1 - val - test)), round(steps * (1 - test))))
        else:
            found.append({part: (0, steps)})
    return found


def _whole(rule: GroupSplit, examples: Sequence[Example]) -> list[Bounds]:
    names = sorted({example.target.name for example in examples})
    if len(names) < 3:
        raise ArtifactError(f"split: {len(names)} series cannot be divided into three parts")
    order = np.random.default_rng(rule.seed).permutation(names)
    tests = max(1, round(rule.test * len(order)))
    vals = max(1, round(rule.val * len(order)))
    part_of = dict.fromkeys(order[:tests], "test") | dict.fromkeys(
        order[tests : tests + vals], "val"
    )
    return [
        {part_of.get(example.target.name, "train"): (0, len(example.target.values))}
        for example in examples
    ]


def _by_date(rule: DateSplit, example: Example) -> Bounds:
    series: TableSeries = example.target
    if series.times is None or not series.dated:
        raise ArtifactError(f"{example.origin}: split: by: date needs a column of dates")
    steps = len(series.values)
    shares = _by_shares(SharesSplit(val=rule.val, test=rule.test), steps)
    bounds = [
        int(np.searchsorted(series.times, _seconds(moment))) if moment else shares[part][0]
        for part, moment in (("val", rule.val_from), ("test", rule.test_from))
    ]
    if rule.val_from is None and rule.test_from is not None:
        # Validation data is taken from what comes before the test.
        bounds[0] = round(bounds[1] * (1 - rule.val))
    return _cut(steps, min(bounds), bounds[1])


def _by_shares(rule: SharesSplit, steps: int) -> Bounds:
    return _cut(steps, round(steps * (1 - rule.val - rule.test)), round(steps * (1 - rule.test)))


def _cut(steps: int, val: int, test: int) -> Bounds:
    return {"train": (0, val), "val": (val, test), "test": (test, steps)}


def _seconds(moment: date | datetime) -> float:
    return float(np.datetime64(moment, "ms").astype(np.int64) / 1000)
