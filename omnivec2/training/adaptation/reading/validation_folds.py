"""Folds of labelled inputs: some are left out of a fit, which is then measured on them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Array

FOLDS = 5
"""Folds that settings are validated in; tokenizers and linear models in the first of them."""


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


def group_folds(classes: Array, groups: Sequence[str], count: int, *, seed: int) -> Array:
    """Return the fold that each input is validated in, -1 for none; a group is in one fold.

    Where all other folds lack a class, a group that has it is not validated, so that every fit
    knows the class.

    Args:
        classes: The class of each input; all 0 for tags and quantities.
        groups: The group of each input.
        count: The number of folds, or more; there are never more than groups.
        seed: The seed of the folds.

    Raises:
        InvalidInputError: No input can be validated.
    """
    names = np.array(groups)
    folds = whole_folds(names, classes.tolist(), count, seed)
    for label in np.unique(classes):
        of_class = classes == label
        if len(np.unique(folds[of_class])) == 1:
            smallest = min(set(names[of_class]), key=lambda name: (sum(names == name), name))
            folds[names == smallest] = -1
    found = np.unique(folds[folds >= 0])
    if not len(found):
        raise InvalidInputError(
            "nothing can be validated: each class to learn from is of one value of --group only; "
            "give data of more groups, or leave --group out"
        )
    # Folds are counted from 0 without a gap: some are tried in the first one only.
    return np.where(folds >= 0, np.searchsorted(found, folds), -1)


def whole_folds(groups: Array, classes: Sequence[object], count: int, seed: int) -> Array:
    """Return the fold of each input: groups stay whole, and classes are balanced where they can.

    Args:
        groups: The group of each input.
        classes: The class of each input.
        count: The number of folds, or more.
        seed: The seed of the folds.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    names = [str(name) for name in classes]
    count = max(2, min(count, len(np.unique(groups)), max(Counter(names).values())))
    folds = np.full(len(groups), -1)
    if len(np.unique(groups)) < 2:
        return folds
    kind = StratifiedGroupKFold if len(set(names)) > 1 else GroupKFold
    splitter = kind(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Classes with fewer inputs than folds: they are not validated in all of them.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, held) in enumerate(splitter.split(groups, names, groups)):
            folds[held] = fold
    return folds
