"""Groups: inputs of one person, one patient or one recording, which stay in one part together.

A head that was fitted to some inputs of a person knows that person; measured or validated on the
others, it looks better than it is with people it has never seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Array
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.adaptation.reading.validation_folds import whole_folds

_MOST_NAMED = 3


def has_groups(rows: Sequence[Row]) -> bool:
    """Whether some rows belong together."""
    counts = Counter(row.group for row in rows if row.group is not None)
    return any(count > 1 for count in counts.values())


def groups_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the group of each row; nothing where none belong together."""
    return tuple(_names_of(rows)) if has_groups(rows) else ()


def hold_out_groups(rows: Sequence[Row], share: float, *, seed: int) -> Array:
    """Return the indices of whole groups that have about a share of the rows, class by class.

    A group that is the last one with a class or a tag is not held out.

    Args:
        rows: The rows, each of a group.
        share: The share of them, in 0..1.
        seed: The seed of the choice.

    Raises:
        InvalidInputError: There are too few groups, or each class is of one group only.
    """
    groups = np.array(_names_of(rows))
    if (count := len(np.unique(groups))) < 3:
        raise InvalidInputError(
            f"{count} different values of --group are too few: one is measured on, and choosing by "
            "validation needs two more; give --test, or data of more groups"
        )
    classes = [row.label if isinstance(row.label, str) else "" for row in rows]
    folds = whole_folds(groups, classes, max(2, round(1 / share)), seed)
    held = _without_last_ones(rows, groups, np.flatnonzero(folds == 0))
    if not len(held):
        raise InvalidInputError(
            f"no group can be held out: each of the {count} values of --group is the only one that "
            "has some class; give --test, or leave --group out"
        )
    return held


def require_apart(train: Sequence[Row], test: Sequence[Row]) -> None:
    """Refuse a test part that has groups of the training part, unless its rows were joined.

    Raises:
        InvalidInputError: It has some.
    """
    if not any(row.is_joined for row in train) and (shared := _shared_groups(train, test)):
        raise InvalidInputError(
            f"the test part has {shared} too; a head that learned from them looks better on them "
            "than it is: take them out of one of the parts"
        )


def notes_on_groups(train: Sequence[Row], test: Sequence[Row]) -> list[str]:
    """Return a note where recordings of both parts have the same names, which may be others'."""
    if shared := _shared_groups(train, test):
        return [
            f"the test part has {shared} too; if they are the same, and not only named the same, "
            "its figures are too good"
        ]
    return []


def _shared_groups(train: Sequence[Row], test: Sequence[Row]) -> str:
    """Return the groups of both parts in words; empty if there are none."""
    names = sorted(
        {row.group for row in train if row.group is not None}
        & {row.group for row in test if row.group is not None}
    )
    if not names:
        return ""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"values of --group of the training part ({', '.join(names[:_MOST_NAMED])}{more})"


def _names_of(rows: Sequence[Row]) -> list[str]:
    # A row without a group, beside some with one, is a group of its own.
    return [row.where if row.group is None else f"={row.group}" for row in rows]


def _without_last_ones(rows: Sequence[Row], groups: Array, held: Array) -> Array:
    """Return held-out rows without groups that would leave a class or tag to none of the others."""
    labels: Mapping[str, set[str]] = {name: set() for name in groups.tolist()}
    for name, row in zip(groups.tolist(), rows, strict=True):
        if isinstance(row.label, str):
            labels[name].add(row.label)
        else:
            labels[name].update(label for label in row.label if isinstance(label, str))
    left = Counter(label for own in labels.values() for label in own)
    kept: set[str] = set()
    for name in dict.fromkeys(groups[held].tolist()):
        if all(left[label] > 1 for label in labels[name]):
            left.subtract(labels[name])
            kept.add(name)
    return held[np.isin(groups[held], list(kept))] if kept else held[:0]
