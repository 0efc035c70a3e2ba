"""Any form of data -> rows, and the rows of the training and the test part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Array
from omnivec2.spec import Modality
from omnivec2.training.adaptation.adaptation_request import AdaptRequest, DataPart
from omnivec2.training.adaptation.answer_forms import AnswerForm
from omnivec2.training.adaptation.reading.group_parts import (
    has_groups,
    hold_out_groups,
    require_apart,
)
from omnivec2.training.adaptation.reading.labelled_arrays import read_arrays
from omnivec2.training.adaptation.reading.labelled_folders import read_folder
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.adaptation.reading.labelled_series import read_labelled_series
from omnivec2.training.adaptation.reading.labelled_tables import read_rows
from omnivec2.training.adaptation.reading.validation_folds import FOLDS
from omnivec2.training.data.blocks.targets.class_targets import natural_key
from omnivec2.training.data.stored_arrays import is_arrays
from omnivec2.training.data.table_files import is_number
from omnivec2.training.modalities import modality_training

FEWEST_LABELS = FOLDS
"""Labelled inputs that validation in folds needs."""

MOST_NUMBERS = 50
"""Different numbers that may be the names of classes, where most inputs have one of their own."""


@dataclass(frozen=True)
class Parts:
    """The rows to train on and those to measure on.

    Attributes:
        train: The chosen fraction, class-balanced.
        test: The rows that are not used before the end.
        pool: The number of training rows that the fraction was chosen from.
        classes: The classes or tags as they stand in the data, in the order of the head's outputs.
    """

    train: list[Row]
    test: list[Row]
    pool: int
    classes: tuple[str, ...]


def read_part(part: DataPart, modality: Modality, form: AnswerForm) -> list[Row]:
    """Return the rows of a folder, of tables, or of arrays.

    Args:
        part: The folder or files.
        modality: The modality of the inputs.
        form: The form of the labels.

    Raises:
        InvalidInputError: Nothing is there, or something is wrong; the message names file and row.
    """
    first = Path(part.path[0])
    rules = modality_training(modality).adaptation
    if first.is_dir():
        rows = read_folder(part, form)
    elif is_arrays(first):
        rows = read_arrays(part, rules, form)
    elif modality is Modality.TIMESERIES:
        rows = read_labelled_series(part, form)
    else:
        rows = read_rows(part, rules, form)
    if not rows:
        raise InvalidInputError(f"{first}: no labelled input was found")
    return rows


def read_parts(request: AdaptRequest) -> Parts:
    """Return both parts of a request: the fraction to learn from, and the test part.

    Raises:
        InvalidInputError: As for ``read_part``; or there are too few labels, or unknown ones.
    """
    form = request.form
    pool = read_part(request.train, request.modality, form)
    if request.test is not None:
        test = read_part(request.test, request.modality, form)
        require_apart(pool, test)
    else:
        _require_classes(form, pool)
        held = _held_out(pool, request, form)
        kept = np.setdiff1d(np.arange(len(pool)), held)
        pool, test = [pool[i] for i in kept], [pool[i] for i in held]
    train = [pool[i] for i in choose(pool, request.fraction, seed=request.seed)]
    if not test:
        raise InvalidInputError(
            f"of {len(pool)} labelled inputs none is left to measure on; give --test, or more data"
        )
    classes = _class_names(form, train if form is AnswerForm.TAGS else pool, test)
    if form is AnswerForm.CLASS and max(Counter(row.label for row in train).values()) < 2:
        raise InvalidInputError(
            f"{len(train)} labelled inputs of {len(classes)} classes are too few: choosing by "
            f"validation needs a class with two; there are {len(pool)}, of which "
            f"--fraction takes {request.fraction:g}"
        )
    if len(train) < FEWEST_LABELS:
        raise InvalidInputError(
            f"{len(train)} labelled inputs are too few: choosing by validation needs "
            f"{FEWEST_LABELS}; there are {len(pool)} beside the test part, of which --fraction "
            f"takes {request.fraction:g}"
        )
    return Parts(train, test, len(pool), classes)


def _held_out(pool: Sequence[Row], request: AdaptRequest, form: AnswerForm) -> Array:
    """Return the indices of the rows that the test part is made of."""
    seed = request.seed + 1
    if has_groups(pool):
        return hold_out_groups(pool, request.test_share, seed=seed)
    held = choose(pool, request.test_share, seed=seed, leave=1)
    return _without_only_ones(pool, held) if form is AnswerForm.TAGS else held


def _class_names(form: AnswerForm, pool: Sequence[Row], test: Sequence[Row]) -> tuple[str, ...]:
    """Return the names of classes or tags in the order of the head's outputs."""
    if form is AnswerForm.QUANTITIES:
        return ()
    if form is AnswerForm.CLASS:
        return _classes(pool, test)
    names = {tag for row in pool for tag in tags_of(row)}
    if not names:
        raise InvalidInputError(
            "no input has a tag; name the column of tags, or the columns of 0 and 1, with --labels"
        )
    _require_known({tag for row in test for tag in tags_of(row)}, names)
    return tuple(sorted(names, key=natural_key))


def tags_of(row: Row) -> tuple[str, ...]:
    """Return the tags of an input."""
    return tuple(str(tag) for tag in row.label)


def _without_only_ones(rows: Sequence[Row], held: Array) -> Array:
    """Return held-out rows without those that would leave a tag to none of the others."""
    left = Counter(tag for row in rows for tag in tags_of(row))
    chosen = []
    for index in held.tolist():
        tags = tags_of(rows[index])
        if all(left[tag] > 1 for tag in tags):
            left.subtract(tags)
            chosen.append(index)
    return np.array(chosen, dtype=np.int64)


def _classes(pool: Sequence[Row], test: Sequence[Row]) -> tuple[str, ...]:
    _require_classes(AnswerForm.CLASS, pool)
    names = {str(row.label) for row in pool}
    _require_known({str(row.label) for row in test}, names)
    return tuple(sorted(names, key=natural_key))


def _require_classes(form: AnswerForm, pool: Sequence[Row]) -> None:
    if form is not AnswerForm.CLASS:
        return
    names = {str(row.label) for row in pool}
    if len(names) < 2:
        raise InvalidInputError(
            f"all labels are {', '.join(names)!r}; expected two or more classes: add inputs of "
            "another class, or name another column with --labels"
        )
    numbers = sum(map(is_number, names))
    if len(names) > MOST_NUMBERS and numbers == len(names) and len(names) > len(pool) // 2:
        raise InvalidInputError(
            f"{len(pool)} labels have {len(names)} different numbers, so they are no classes; "
            "did you mean --task-family regression?"
        )


def _require_known(found: set[str], names: set[str]) -> None:
    if unknown := sorted(found - names):
        raise InvalidInputError(
            f"the test part has labels that the training part lacks: {', '.join(unknown[:5])}; "
            "add inputs of them to the training part, or take them out of the test part"
        )


def choose(rows: Sequence[Row], share: float, *, seed: int, leave: int = 0) -> Array:
    """Return the indices of a share of the rows, class by class, at least one of each class.

    The total is exactly the rounded share (or the number of classes, if that is more): the rows
    that rounding leaves over go to the classes that were cut most.

    Args:
        rows: The rows to choose from.
        share: The share of them, in 0..1.
        seed: The seed of the choice.
        leave: The number of rows of each class that are not chosen, if there are no more.
    """
    labels = np.array([str(row.label) if isinstance(row.label, str) else "" for row in rows])
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(rows))
    counts = {name: count - leave for name, count in Counter(labels.tolist()).items()}
    total = max(round(share * len(rows)), sum(count > 0 for count in counts.values()))
    quota = {name: min(max(1, int(share * n)), n) for name, n in counts.items()}
    by_loss = sorted(counts, key=lambda name: (quota[name] - share * counts[name], name))
    for name in by_loss:
        if sum(quota.values()) < total and quota[name] < counts[name]:
            quota[name] += 1
    chosen = []
    for index in order.tolist():
        if quota[labels[index]] > 0:
            quota[labels[index]] -= 1
            chosen.append(index)
    return np.sort(np.array(chosen, dtype=np.int64))
