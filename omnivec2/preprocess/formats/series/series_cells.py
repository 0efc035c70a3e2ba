"""Tables with a whole series in each cell, as data sets of Hugging Face and GluonTS have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.series.series_ids import is_called_id
from omnivec2.preprocess.formats.tables.frame import FloatColumn, Frame
from omnivec2.preprocess.notes import NoteCode, note

_TARGETS = ("target", "y", "values", "value")


def columns_of_series(frame: Frame) -> list[str]:
    """Return the columns whose cells are arrays."""
    return [
        name
        for name, column in frame.columns.items()
        if column.dtype == object and any(isinstance(cell, np.ndarray) for cell in column)
    ]


def read_series_cells(
    frame: Frame, columns: Sequence[str], wanted: Sequence[str], length: int
) -> dict[str, FloatColumn]:
    """Read the last values of the series in the cells of a table.

    Args:
        frame: The table: a row per series.
        columns: The columns whose cells are arrays.
        wanted: The columns to read; if none are named, the target, or all.
        length: The number of values wanted.

    Returns:
        Name -> float64 array (length,), NaN where missing.

    Raises:
        InvalidInputError: a cell has too few values, or two series have the same name.
    """
    targets = [name for name in wanted or _TARGETS if name in columns]
    targets = targets if wanted else targets[:1] or list(columns)
    ids = next((name for name in frame.columns if is_called_id(name)), None)
    labels = None if ids is None or ids in columns else frame.texts(ids)
    series: dict[str, FloatColumn] = {}
    for row in range(frame.rows):
        label = (labels[row] if labels else None) or f"series {row + 1}"
        for target in targets:
            name = label if len(targets) == 1 else f"{label}/{target}"
            cell = frame.columns[target][row]
            if not isinstance(cell, np.ndarray) or len(cell) < length:
                count = len(cell) if isinstance(cell, np.ndarray) else 0
                raise InvalidInputError(
                    f"series {name!r}: the list in column {target!r} has {count:,} values; this "
                    f"head reads the last {length:,}",
                    field=f"inputs.{target}",
                )
            if name in series:
                raise InvalidInputError(f"two series are named {name!r}", field="inputs")
            series[name] = cell[-length:]
    unused = [name for name in frame.columns if name not in targets and name != ids]
    if unused:
        note(
            NoteCode.IGNORED,
            f"columns beside the series were not used: {', '.join(unused[:8])}",
            count=len(unused),
        )
    return series
