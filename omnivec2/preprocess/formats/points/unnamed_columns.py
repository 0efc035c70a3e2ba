"""Which of the columns of points are x, y and z if no name tells: by convention and by values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from omnivec2.errors import InvalidInputError, UndecodableError
from omnivec2.preprocess.formats.points.point_columns import Axes, find_axes
from omnivec2.preprocess.formats.points.point_options import PointOptions
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import stated

_FEWEST_NUMBERED = 4
"""The fewest rows whose running numbers are taken for numbers of rows."""

_FIRST_TIME, _LAST_TIME = 9e8, 4.2e9
"""The years 1998 to 2103 in seconds since 1970."""


def guess_axes(rows: Sequence[Sequence[float | None]], names: Sequence[str] | None = None) -> Axes:
    """Return the columns of x, y and z of the first rows of a table.

    They are the first three that hold numbers, but for numbers of rows and times before them.
    Every choice among more than three columns is noted. ``columns`` among what the caller
    states takes the place of missing names.

    Args:
        rows: The values; None for a cell that is no number.
        names: The names of the columns, none of which says what it is.

    Raises:
        InvalidInputError: There are more than three columns with names that say nothing, or the
            columns that the caller states are not those of the rows.
        UndecodableError: There are fewer than three columns of numbers.
    """
    count = min(len(row) for row in rows)
    if (given := stated(PointOptions).columns) is not None:
        return _stated_axes(given, count)
    numeric = [i for i in range(count) if all(row[i] is not None for row in rows)]
    if len(numeric) < 3:
        raise UndecodableError(
            "expected text with one point per line, at least three numbers each", field="inputs"
        )
    if names is not None and len(numeric) > 3:
        shown = ", ".join(repr(name[:40]) for name in names[:12])
        raise InvalidInputError(
            f"expected columns named x, y and z, got {shown}; name them, or state "
            'parameters {"columns": [...]}',
            field="inputs",
        )
    table = np.array([[row[i] for i in numeric] for row in rows], dtype=np.float64)
    while len(numeric) > 3 and np.isnan(table[:, len(numeric) - 1]).all():
        count = numeric.pop()  # a separator at the ends of lines
    table = table[:, : len(numeric)]
    skipped = _leading_numbers(table)
    chosen = numeric[skipped : skipped + 3]
    if names is not None or skipped or numeric[0]:
        places = ", ".join(str(column + 1) for column in chosen)
        note(
            NoteCode.GUESSED,
            f"columns {places} were taken for x, y and z; name the columns, or state "
            'parameters {"columns": [...]}',
        )
    if names is None and count > chosen[-1] + 1:
        note(
            NoteCode.IGNORED,
            "the columns have no names: three are taken as x, y and z, those behind are not used",
            count=count - chosen[-1] - 1,
        )
    return Axes((chosen[0], chosen[1], chosen[2]))


def _stated_axes(names: Sequence[str], count: int) -> Axes:
    if len(names) > count:
        raise InvalidInputError(
            f"{len(names)} columns are stated, but the points have {count} values",
            field="parameters.columns",
        )
    axes = find_axes([*names, *[""] * (count - len(names))])
    if axes is None:
        raise InvalidInputError(
            "expected columns x, y and z among those stated", field="parameters.columns"
        )
    return axes


def _leading_numbers(table: npt.NDArray[np.float64]) -> int:
    """Return how many columns before the coordinates number the rows or are their times."""
    skipped = 0
    while table.shape[1] - skipped > 3 and len(table) >= _FEWEST_NUMBERED:
        column = table[:, skipped]
        if not np.isfinite(column).all():
            break
        steps = np.diff(column)
        running = bool(np.all(steps == 1) and column[0] in (0, 1))
        scale = 10.0 ** (3 * round(np.log10(max(abs(column[0]) / 1.7e9, 1e-9)) / 3))
        in_time = bool(np.all((column > _FIRST_TIME * scale) & (column < _LAST_TIME * scale)))
        if not running and not (in_time and scale >= 1 and np.all(steps >= 0)):
            break
        skipped += 1
    return skipped
