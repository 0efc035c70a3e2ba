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
from omnivec2.training.adaptation.reading.labelled_arrays import read_arrays
from omnivec2.training.adaptation.reading.labelled_folders import read_folder
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.adaptation.reading.labelled_tables import read_rows
from omnivec2.training.data.stored_arrays import is_arrays
from omnivec2.training.modalities import modality_training


@dataclass(frozen=True)
class Parts:
    """The rows to train on and those to measure on.

    Attributes:
        train: The chosen fraction, class-balanced.
        test: The rows that are not used before the end.
        pool: The number of training rows that the fraction was chosen from.
        classes: The labels as they stand in the data, in the order of the head's outputs.
    """

    train: list[Row]
    test: list[Row]
    pool: int
    classes: tuple[str, ...]


def read_part(part: DataPart, modality: Modality, *, regression: bool) -> list[Row]:
    """Return the rows of a folder, of tables, or of arrays.

    Args:
        part: The folder or files.
        modality: The modality of the inputs.
        regression: Whether labels are quantities.

    Raises:
        InvalidInputError: Nothing is there, or something is wrong; the message names file and row.
    """
    first = Path(part.path[0])
    if first.is_dir():
        rows = read_folder(part, regression=regression)
    elif is_arrays(first):
        rows = read_arrays(part, modality_training(modality).adaptation, regression=regression)
    else:
        rows = read_rows(part, modality_training(modality).adaptation, regression=regression)
    if not rows:
        raise InvalidInputError(f"{first}: no labelled input was found")
    return rows


def read_parts(request: AdaptRequest) -> Parts:
    """Return both parts of a request: the fraction to learn from, and the test part.

    Raises:
        InvalidInputError: As for ``read_part``; or there are too few labels, or unknown ones.
    """
    regression = request.is_regression
    pool = read_part(request.train, request.modality, regression=regression)
    if request.test is not None:
        test = read_part(request.test, request.modality, regression=regression)
    else:
        held = choose(pool, request.test_share, seed=request.seed + 1)
        kept = np.setdiff1d(np.arange(len(pool)), held)
        pool, test = [pool[i] for i in kept], [pool[i] for i in held]
    train = [pool[i] for i in choose(pool, request.fraction, seed=request.seed)]
    classes = () if regression else _classes(pool, test)
    if classes and max(Counter(row.label for row in train).values()) < 2:
        raise InvalidInputError(
            f"{len(train)} labelled inputs of {len(classes)} classes are too few: choosing by "
            f"validation needs a class with two; there are {len(pool)}, of which "
            f"--fraction takes {request.fraction:g}"
        )
    if len(train) < 2:
        raise InvalidInputError(
            f"{len(train)} labelled inputs are too few; there are {len(pool)}, of which "
            f"--fraction takes {request.fraction:g}"
        )
    return Parts(train, test, len(pool), classes)


def _classes(pool: Sequence[Row], test: Sequence[Row]) -> tuple[str, ...]:
    names = {str(row.label) for row in pool}
    if len(names) < 2:
        raise InvalidInputError(
            f"all labels are {', '.join(names)!r}; expected two or more classes"
        )
    if unknown := sorted({str(row.label) for row in test} - names):
        raise InvalidInputError(
            f"the test part has labels that the training part lacks: {', '.join(unknown[:5])}"
        )
    # Numbers in their order, not as text.
    return tuple(sorted(names, key=lambda name: (not name.isdigit(), name.zfill(12), name)))


def choose(rows: Sequence[Row], share: float, *, seed: int) -> Array:
    """Return the indices of a share of the rows, class by class, at least one of each class.

    The total is exactly the rounded share (or the number of classes, if that is more): the rows
    that rounding leaves over go to the classes that were cut most.

    Args:
        rows: The rows to choose from.
        share: The share of them, in 0..1.
        seed: The seed of the choice.
    """
    labels = np.array([str(row.label) if isinstance(row.label, str) else "" for row in rows])
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(rows))
    counts = Counter(labels.tolist())
    total = max(round(share * len(rows)), len(counts))
    quota = {name: max(1, int(share * count)) for name, count in counts.items()}
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


def folds_of(labels: Array, count: int, *, seed: int) -> Array:
    """Return the fold that each row is validated in; -1 for the only row of its class.

    Rows are shared out class by class.

    Args:
        labels: The class of each row; all 0 for quantities.
        count: The number of folds.
        seed: The seed of the order within a class.
    """
    generator = np.random.default_rng(seed)
    folds = np.full(len(labels), -1)
    start = 0
    for name in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == name))
        if len(members) > 1:
            folds[members] = (start + np.arange(len(members))) % count
            start += len(members)
    return folds
