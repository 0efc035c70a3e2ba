"""Parameters of pre-processors that the data decides, from the training part alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue, ValidationError

from omnivec2.errors import ArtifactError, InvalidInputError
from omnivec2.preprocess import Array, preprocessor_type
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.time_axis import find_time_column
from omnivec2.spec import Modality, PreprocessSpec
from omnivec2.training.data.base import build, preprocess_spec
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.files import listed
from omnivec2.training.data.table_files import read_table
from omnivec2.training.yaml_lines import did_you_mean

Record = Mapping[str, Any]

_LONGEST_SERIES = 512
"""The longest context of series to be classified that is chosen without being asked for."""


def fit_preprocess(
    modality: Modality,
    given: Mapping[str, JsonValue],
    train: Sequence[Example],
    categories: Sequence[str] = (),
) -> PreprocessSpec:
    """Return the pre-processing of a task.

    Args:
        modality: The modality of the inputs.
        given: The parameters that the recipe states; they win.
        train: The examples of the training part.
        categories: The columns of numbers that are names.

    Raises:
        ArtifactError: A parameter is unknown or impossible, or cannot be found in the data.
    """
    kind = preprocessor_type(modality)
    known = list(kind.parameters_type.model_fields)
    for name in given:
        if name not in known:
            raise ArtifactError(
                f"preprocess: there is no parameter {name!r} for {modality.value}; "
                f"there are {listed(known)}{did_you_mean(name, known)}"
            )
    fit = _FROM_DATA.get(modality)
    if not train and fit is not None:
        raise ArtifactError("the training part is empty")
    found = fit(train, given, categories) if fit is not None else {}
    parameters = {**found, **given}
    try:
        kind.parameters_type.model_validate(parameters)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ArtifactError(f"preprocess: {wrong}") from error
    spec = preprocess_spec(modality, **parameters)
    build(spec)
    return spec


def column_schema(rows: Sequence[Record], numbers: Sequence[str]) -> list[dict[str, Any]]:
    """Return columns as the tabular pre-processor's parameters state them, from training rows.

    A column without any value is left out.

    Args:
        rows: The training rows.
        numbers: The names of the numeric columns.
    """
    columns: list[dict[str, Any]] = []
    for name in rows[0]:
        present = [row[name] for row in rows if row[name] is not None]
        if not present:
            continue
        if name in numbers:
            values = np.array(present, dtype=np.float64)
            mean, std = (round(float(value), 6) for value in (values.mean(), values.std()))
            columns.append({"name": name, "kind": "number", "mean": mean, "std": std or 1.0})
        else:
            found = sorted({str(value) for value in present})
            columns.append({"name": name, "kind": "category", "categories": found})
    return columns


def record_schema(
    records: Sequence[Record], categories: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return the columns of rows whose cells are as the table had them.

    Args:
        records: The training rows, by column.
        categories: The columns of numbers that are names.
    """
    frame = Frame.of({name: [row[name] for row in records] for name in records[0]})
    numbers: list[str] = []
    typed: dict[str, list[Any]] = {}
    for name in frame.columns:
        values = None if name in categories else _numbers(frame, name)
        if values is None:
            typed[name] = list(frame.texts(name))
        else:
            numbers.append(name)
            typed[name] = [None if np.isnan(value) else float(value) for value in values]
    rows = [dict(zip(typed, cells, strict=True)) for cells in zip(*typed.values(), strict=True)]
    return column_schema(rows, numbers)


def _numbers(frame: Frame, name: str) -> Array | None:
    """Return the numbers of a column, or None if it is one of categories."""
    if not frame.is_numeric(name):
        return None
    try:
        return frame.numbers(name)
    except InvalidInputError:
        return None


def recording_channels(value: Any) -> list[str]:
    """Return the numeric columns of a recording but its times; nothing if it has no names.

    Args:
        value: A table file, or a mapping of columns to samples.
    """
    if isinstance(value, Path):
        frame = read_table(value)
    elif isinstance(value, dict):
        frame = Frame.of({name: cells for name, cells in value.items() if isinstance(cells, list)})
    else:
        return []
    if not frame.named:
        return []
    time = find_time_column(frame)
    return [name for name in frame.columns if name != time and frame.is_numeric(name)]


def _tabular(
    train: Sequence[Example], given: Mapping[str, JsonValue], categories: Sequence[str]
) -> dict[str, JsonValue]:
    if "columns" in given:
        return {}
    records = [record for example in train for record in _records(example)]
    if not records:
        raise ArtifactError("expected rows of a table as inputs; files hold no training rows")
    return {"columns": record_schema(records, categories)}  # type: ignore[dict-item]


def _records(example: Example) -> list[dict[str, Any]]:
    value = example.value
    return [r for r in value if isinstance(r, dict)] if isinstance(value, list) else []


def _text(
    train: Sequence[Example], given: Mapping[str, JsonValue], categories: Sequence[str]
) -> dict[str, JsonValue]:
    del given, categories
    return {"pair": isinstance(train[0].value, dict)}


def _imu(
    train: Sequence[Example], given: Mapping[str, JsonValue], categories: Sequence[str]
) -> dict[str, JsonValue]:
    del categories
    if "channels" in given:
        return {}
    value = train[0].value
    if isinstance(value, np.ndarray):
        return {"channels": [f"channel_{number}" for number in range(1, value.shape[-1] + 1)]}
    channels = recording_channels(value)
    return {"channels": list(channels)} if channels else {}


def _series(
    train: Sequence[Example], given: Mapping[str, JsonValue], categories: Sequence[str]
) -> dict[str, JsonValue]:
    """Return the length of the shortest series: all of them can be read."""
    del categories
    if "context_length" in given:
        return {}
    lengths = [length for example in train for length in _series_lengths(example.value)]
    return {"context_length": min(_LONGEST_SERIES, *lengths)} if lengths else {}


def _series_lengths(value: Any) -> list[int]:
    """Return the lengths of the series of an input: JSON, an array, or a table file."""
    if isinstance(value, dict):
        return [len(cells) for cells in value.values() if isinstance(cells, list)]
    if isinstance(value, np.ndarray):
        return [len(value)]
    return [read_table(value).rows] if isinstance(value, Path) else []


_FROM_DATA: dict[
    Modality,
    Callable[[Sequence[Example], Mapping[str, JsonValue], Sequence[str]], Mapping[str, JsonValue]],
] = {
    Modality.TABULAR: _tabular,
    Modality.TEXT: _text,
    Modality.IMU: _imu,
    Modality.TIMESERIES: _series,
}
"""The modalities whose parameters follow from data; a new one is added here."""
