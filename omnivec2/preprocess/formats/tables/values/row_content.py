"""Rows of a table that say nothing to a head: all cells are missing, or words nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omnivec2.arrays import Array
from omnivec2.preprocess.notes import NoteCode, note


def note_rows_without_content(
    missing_RN: Array, ids: Sequence[Array], missing_id: int, unknown_id: int
) -> None:
    """Note rows that are empty, and rows most of whose cells are unknown words.

    The columns of such a row have the right names, but its words are those of another code or
    language: a few numbers are all that is left of it.

    Args:
        missing_RN: The numbers that are missing, (rows, columns of numbers).
        ids: The ids of every column of categories, each (rows,).
        missing_id: The id of a missing category.
        unknown_id: The id of a category that was never seen in training.
    """
    empty = missing_RN.all(axis=1)
    unknown = np.zeros(len(missing_RN), dtype=np.int64)
    for column in ids:
        empty = empty & (column == missing_id)
        unknown += column == unknown_id
    if empty.any():
        note(
            NoteCode.EMPTY,
            "empty rows, in which every cell is missing, were answered like others",
            count=int(empty.sum()),
        )
    foreign = 2 * unknown > missing_RN.shape[1] + len(ids)
    if foreign.any():
        note(
            NoteCode.EMPTY,
            "rows in which more than half of all cells are words that were never seen in training "
            "say next to nothing to this head; are they in another language or code?",
            count=int(foreign.sum()),
        )
