"""Arrays with labels: NumPy files, MATLAB files, and IDX files such as those of MNIST."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Array
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.adaptation.answer_forms import AnswerForm
from omnivec2.training.adaptation.reading.label_cells import array_label
from omnivec2.training.adaptation.reading.labelled_rows import Row, Value, group_name
from omnivec2.training.data.stored_arrays import load_arrays
from omnivec2.training.data.table_files import as_name


def read_arrays(part: DataPart, rules: AdaptationRules, form: AnswerForm) -> list[Row]:
    """Return the rows of one or several files of arrays.

    Args:
        part: The files, and the names of their arrays.
        rules: The modality's rules.
        form: The form of the labels.

    Raises:
        InvalidInputError: An array is missing, or shapes do not belong together.
    """
    rows: list[Row] = []
    for name in part.path:
        rows += _rows_of(Path(name), part, rules, form)
    return rows


def _rows_of(path: Path, part: DataPart, rules: AdaptationRules, form: AnswerForm) -> list[Row]:
    arrays = load_arrays(path)
    labels = _labels(path, part, arrays)
    key = part.input[0] if part.input else _value_key(path, part, arrays)
    values = _find(path, arrays, key)
    if (pixels := rules.scene_rows(path, values, labels)) is not None:
        if part.group is not None:
            raise InvalidInputError(f"{path}: pixels of a scene have no groups; leave --group out")
        return pixels
    items = _items(
        path, values, None if part.lengths is None else _find(path, arrays, part.lengths)
    )
    if len(items) != len(labels):
        raise InvalidInputError(f"{path}: {len(items)} inputs ({key}) have {len(labels)} labels")
    groups = _groups(path, part, arrays, len(labels))
    chosen = np.ones(len(labels), dtype=bool)
    for name, wanted in part.only.items():
        chosen &= np.array([as_name(cell) in wanted for cell in _find(path, arrays, name).tolist()])
    names = [f"tag_{number}" for number in range(labels.shape[1])] if labels.ndim == 2 else []
    rows = []
    for index in np.flatnonzero(chosen).tolist():
        where = f"{path.name}, row {index + 1}"
        label = array_label(form, labels[index], names, where)
        group = None if groups is None else group_name(groups[index], str(part.group), where)
        rows.append(Row(where, items[index], label, group))
    return rows


def _labels(path: Path, part: DataPart, arrays: Mapping[str, Array]) -> Array:
    label = part.label or "label"
    if label in arrays:
        labels = arrays[label]
    elif Path(label).is_file():
        labels = next(iter(load_arrays(Path(label)).values()))
    else:
        raise InvalidInputError(
            f"{path}: --labels names neither an array of it ({', '.join(arrays)}) nor a file: "
            f"{label!r}"
        )
    # MATLAB has no vectors: labels come as a row or a column.
    return labels.ravel() if labels.ndim == 2 and 1 in labels.shape else labels


def _groups(path: Path, part: DataPart, arrays: Mapping[str, Array], count: int) -> Array | None:
    """Return the group of each input; None if the request names none."""
    if part.group is None:
        return None
    groups = _find(path, arrays, part.group).ravel()
    if len(groups) != count:
        raise InvalidInputError(f"{path}: {count} inputs have {len(groups)} groups ({part.group})")
    return groups


def _value_key(path: Path, part: DataPart, arrays: Mapping[str, Array]) -> str:
    taken = {part.label or "label", part.lengths, part.group, *part.only}
    remaining = [name for name in arrays if name not in taken]
    if len(remaining) != 1:
        raise InvalidInputError(
            f"{path}: give --input, one of {', '.join(remaining) or 'no arrays'}"
        )
    return remaining[0]


def _find(path: Path, arrays: Mapping[str, Array], name: str) -> Array:
    if name not in arrays:
        raise InvalidInputError(f"{path}: no array {name!r}; there are {', '.join(arrays)}")
    return arrays[name]


def _items(path: Path, values: Array, lengths: Array | None) -> list[Value]:
    """Split into inputs along the first axis, or into pieces of the given lengths."""
    if lengths is None:
        return list(values)
    ends = np.cumsum(lengths.astype(np.int64).ravel())
    if len(values) != (ends[-1] if len(ends) else 0):
        raise InvalidInputError(f"{path}: lengths do not add up to the {len(values)} samples")
    return list(np.split(values, ends[:-1]))
