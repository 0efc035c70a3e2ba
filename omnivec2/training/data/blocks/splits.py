"""Rules that divide examples into ``train``, ``val`` and ``test``, as a recipe's ``split`` says.

A rule never looks at inputs, except for `by: input`, which keeps equal inputs together.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from datetime import date, datetime
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from omnivec2.training.data.base import hold_out
from omnivec2.training.data.blocks.example_dates import first_moment, read_dates
from omnivec2.training.data.blocks.examples import Example, Problem, ProblemKind
from omnivec2.training.data.blocks.files import listed
from omnivec2.training.data.blocks.input_keys import input_key
from omnivec2.training.data.blocks.part_names import SPELLINGS
from omnivec2.training.data.table_files import as_name
from omnivec2.training.yaml_lines import did_you_mean

PARTS = ("train", "val", "test")


class SplitRule(BaseModel, ABC):
    """A rule that gives every example a part."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    val: float = Field(default=0.1, gt=0, lt=1, description="share of the part val")
    test: float = Field(default=0.1, gt=0, lt=1, description="share of the part test")
    seed: int = Field(default=0, ge=0, description="seed of the draw")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the data that the rule reads."""
        return ()

    @abstractmethod
    def assign(
        self, examples: Sequence[Example], strata: Sequence[Hashable], problems: list[Problem]
    ) -> Array:
        """Return the part of each example, a text; ``""`` for those that belong to none.

        Args:
            examples: The examples.
            strata: The value of each example that every part should have its share of.
            problems: The list that faults are added to.
        """

    @model_validator(mode="after")
    def _shares_leave_something(self) -> SplitRule:
        if self.val + self.test >= 1:
            raise ValueError("val and test together must be less than 1: the rest is train")
        return self


class GivenSplit(SplitRule):
    """The parts that the data states, by folders, by files or in a column.

    A part that the data lacks is held out from ``train``, class by class.
    """

    by: Literal["given"] = "given"
    column: str | None = Field(default=None, description="the column that states the part")
    parts: dict[Literal["train", "val", "test"], str | int | tuple[str | int, ...]] = Field(
        default={}, description="part -> how the data spells it; other spellings are errors"
    )
    ignore: tuple[str | int, ...] = Field(default=(), description="spellings to leave out")

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of the part, if one is named."""
        return () if self.column is None else (self.column,)

    def assign(
        self, examples: Sequence[Example], strata: Sequence[Hashable], problems: list[Problem]
    ) -> Array:
        """Return the stated parts; missing ones are taken from ``train``."""
        spelled = self._spellings()
        ignored = {as_name(value) for value in self.ignore}
        found = []
        for example in examples:
            stated = example.part if self.column is None else example.columns.get(self.column)
            name = as_name(stated)
            part = spelled.get(name) or spelled.get(name.lower(), "")
            if not part and name not in ignored:
                known = sorted(spelled)
                problems.append(
                    Problem(
                        ProblemKind.UNKNOWN_PART,
                        example.origin,
                        f"the part is {name!r}; expected one of {listed(known)}"
                        f"{did_you_mean(name, known)}",
                    )
                )
            found.append(part)
        parts = np.array(found, dtype=object)
        for part, share in (("test", self.test), ("val", self.val)):
            if part not in set(found):
                held = _hold_out(np.flatnonzero(parts == "train"), strata, share, self.seed)
                parts[held] = part
        return parts

    def _spellings(self) -> dict[str, str]:
        """Return part by spelling."""
        spellings: dict[str, str] = {}
        for part, names in SPELLINGS.items():
            given = self.parts.get(part) if self.parts else names  # type: ignore[call-overload]
            for name in given if isinstance(given, tuple) else () if given is None else (given,):
                spellings[as_name(name)] = part
        return spellings


class SharesSplit(SplitRule):
    """Parts drawn at random, each class by itself unless ``stratify`` is false."""

    by: Literal["shares"] = "shares"
    stratify: bool = Field(default=True, description="draw class by class")

    def assign(
        self, examples: Sequence[Example], strata: Sequence[Hashable], problems: list[Problem]
    ) -> Array:
        """Return parts of the shares, the same ones for a seed."""
        del problems
        parts = np.full(len(examples), "train", dtype=object)
        everything = np.arange(len(examples))
        keys = strata if self.stratify else [""] * len(examples)
        test = _hold_out(everything, keys, self.test, self.seed)
        rest = np.setdiff1d(everything, test)
        parts[test] = "test"
        parts[_hold_out(rest, keys, self.val / (1 - self.test), self.seed + 1)] = "val"
        return parts


class GroupSplit(SplitRule):
    """Whole groups in one part: the pictures of a patient, the clips of a recording."""

    by: Literal["group"] = "group"
    column: str = Field(description="the column whose equal values stay together")

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of groups."""
        return (self.column,)

    def assign(
        self, examples: Sequence[Example], strata: Sequence[Hashable], problems: list[Problem]
    ) -> Array:
        """Return parts of the shares of groups."""
        del strata, problems
        keys = [as_name(example.columns.get(self.column)) for example in examples]
        return _parts_of_groups(keys, self)


class InputSplit(SplitRule):
    """Equal inputs in one part: no answer can be looked up. Molecules are compared as such."""

    by: Literal["input"] = "input"

    def assign(
        self, examples: Sequence[Example], strata: Sequence[Hashable], problems: list[Problem]
    ) -> Array:
        """Return parts of the shares of different inputs."""
        del strata, problems
        return _parts_of_groups([input_key(example) for example in examples], self)


class DateSplit(SplitRule):
    """Earlier examples train, later ones validate, the latest test."""

    by: Literal["date"] = "date"
    column: str = Field(description="the column of dates or times")
    val_from: date | datetime | None = Field(default=None, description="first moment of val")
    test_from: date | datetime | None = Field(default=None, description="first moment of test")

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of dates."""
        return (self.column,)

    def assign(
        self, examples: Sequence[Example], strata: Sequence[Hashable], problems: list[Problem]
    ) -> Array:
        """Return parts divided at the given moments, or where the shares end."""
        del strata
        seconds = read_dates(examples, self.column, problems)
        known = np.sort(seconds[~np.isnan(seconds)])
        parts = np.full(len(examples), "", dtype=object)
        if not len(known):
            return parts
        bounds = [
            first_moment(known, self.val_from, 1 - self.val - self.test),
            first_moment(known, self.test_from, 1 - self.test),
        ]
        parts[seconds < bounds[0]] = "train"
        parts[(seconds >= bounds[0]) & (seconds < bounds[1])] = "val"
        parts[seconds >= bounds[1]] = "test"
        return parts


class FoldSplit(SplitRule):
    """One of k folds tests, the others train; ``val`` is held out from them."""

    by: Literal["fold"] = "fold"
    folds: int = Field(default=5, ge=2, description="k")
    fold: int = Field(ge=1, description="the fold that tests, 1 to k")
    group: str | None = Field(default=None, description="column whose equal values stay together")
    stratify: bool = Field(default=True, description="every fold has its share of each class")

    @model_validator(mode="after")
    def _fold_exists(self) -> FoldSplit:
        if self.fold > self.folds:
            raise ValueError(f"fold {self.fold} is none of {self.folds} folds, counted from 1")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The column of groups, if one is named."""
        return () if self.group is None else (self.group,)

    def assign(
        self, examples: Sequence[Example], strata: Sequence[Hashable], problems: list[Problem]
    ) -> Array:
        """Return the folds of scikit-learn's splitters, with the seed."""
        del problems
        from sklearn import model_selection as folds

        groups = None
        if self.group is not None:
            groups = [as_name(example.columns.get(self.group)) for example in examples]
        classes = [str(stratum) for stratum in strata]
        stratify = self.stratify and len(set(classes)) > 1
        kinds = {
            (False, False): folds.KFold,
            (True, False): folds.StratifiedKFold,
            (False, True): folds.GroupKFold,
            (True, True): folds.StratifiedGroupKFold,
        }
        splitter = kinds[stratify, groups is not None](
            self.folds, shuffle=True, random_state=self.seed
        )
        try:
            with warnings.catch_warnings():
                # `omnivec2 data check` tells of classes that are smaller than the folds.
                warnings.simplefilter("ignore", UserWarning)
                pairs = list(splitter.split(np.zeros(len(examples)), classes, groups))
        except ValueError as error:
            raise ArtifactError(f"split: {self.folds} folds cannot be made: {error}") from error
        rest, test = pairs[self.fold - 1]
        parts = np.full(len(examples), "train", dtype=object)
        parts[test] = "test"
        if groups is None:
            parts[_hold_out(rest, strata, self.val, self.seed)] = "val"
        else:
            inner = np.array([groups[index] for index in rest])
            names = np.random.default_rng(self.seed).permutation(np.unique(inner))
            held = names[: max(1, math.floor(self.val * len(names)))]
            parts[rest[np.isin(inner, held)]] = "val"
        return parts


AnySplit = Annotated[
    GivenSplit | SharesSplit | GroupSplit | InputSplit | DateSplit | FoldSplit,
    Field(discriminator="by"),
]


def default_split(examples: Sequence[Example]) -> SplitRule:
    """Return the rule of a block that names none: the given parts, or else drawn shares."""
    return GivenSplit() if any(example.part for example in examples) else SharesSplit()


def _hold_out(rows: Array, strata: Sequence[Hashable], share: float, seed: int) -> Array:
    """Return a share of some rows, class by class; one row at least, if there are two."""
    if len(rows) < 2:
        return rows[:0]
    keys = np.array([str(strata[row]) for row in rows])
    held = rows[hold_out(keys, share, seed=seed)[1]]
    # Where every class is too small for its share, classes cannot be held out by themselves.
    return held if len(held) else rows[hold_out(np.zeros(len(rows)), share, seed=seed)[1]]


def _parts_of_groups(keys: Sequence[str], rule: SplitRule) -> Array:
    """Return parts that are the rule's shares of the different keys, at least one each."""
    distinct = np.random.default_rng(rule.seed).permutation(np.unique(np.array(keys, dtype=str)))
    if len(distinct) < len(PARTS):
        raise ArtifactError(
            f"split: {len(distinct)} groups cannot be divided into {len(PARTS)} parts"
        )
    test = max(1, math.floor(rule.test * len(distinct)))
    val = test + max(1, math.floor(rule.val * len(distinct)))
    part_of = {key: "test" for key in distinct[:test]}
    part_of |= {key: "val" for key in distinct[test:val]}
    return np.array([part_of.get(key, "train") for key in keys], dtype=object)
