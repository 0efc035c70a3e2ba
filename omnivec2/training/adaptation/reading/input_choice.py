"""How a data set's inputs are pre-processed, and whether the base's tokenizer takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue, ValidationError

from omnivec2.errors import InvalidInputError, InvalidParameterError
from omnivec2.preprocess import Preprocessor, preprocessor_type
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.formats.tables.time_axis import find_time_column
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec
from omnivec2.training.adaptation.adaptation_request import AdaptRequest
from omnivec2.training.adaptation.reading.labelled_rows import Pixel, Row
from omnivec2.training.adaptation.reading.labelled_tables import read_table
from omnivec2.training.data.sets.tabular import schema

_OWN_TOKENIZER = (Modality.TABULAR, Modality.IMU, Modality.HYPERSPECTRAL)
"""Modalities whose tokenizer is as large as a data set's columns, channels or bands."""


def make_preprocessor(
    request: AdaptRequest, base: HeadSpec, rows: Sequence[Row]
) -> Preprocessor[Any, Any]:
    """The pre-processor of the new head: the base's, with what the data itself says.

    Args:
        request: may set parameters.
        base: a head of the same modality.
        rows: of the training part.

    Raises:
        InvalidParameterError: a parameter is unknown or impossible.
        InvalidInputError: the first input does not say what it must (its channels, its bands).
    """
    kind = preprocessor_type(base.modality)
    parameters = dict(base.preprocess.parameters)
    parameters |= _told_by_data(request, base, rows) | request.preprocess
    try:
        checked = kind.parameters_type.model_validate(parameters)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidParameterError(f"preprocess: {wrong}") from error
    return kind(checked, base.limits)


def preprocess_spec_of(preprocessor: Preprocessor[Any, Any]) -> PreprocessSpec:
    """The spec that makes the same pre-processor again."""
    return PreprocessSpec(
        name=preprocessor.modality,
        version=preprocessor.version,
        parameters=preprocessor.parameters.model_dump(mode="json"),
    )


def needs_own_tokenizer(base: HeadSpec, preprocessor: Preprocessor[Any, Any]) -> bool:
    """Whether the data's columns, channels or bands are others than those of the base.

    Raises:
        InvalidParameterError: the inputs differ in a way that the modality cannot learn here.
    """
    modality = base.modality
    if modality is Modality.TABULAR:
        return True
    own, theirs = preprocessor.parameters, base.preprocess.parameters
    defaults = type(own).model_validate(theirs)
    if modality in _OWN_TOKENIZER:
        return bool(own != defaults)
    if preprocessor.inputs != base.inputs:
        raise InvalidParameterError(
            f"the tokenizer for {modality.value} takes {_shapes(base.inputs)}, "
            f"these parameters make {_shapes(preprocessor.inputs)}"
        )
    return False


def channels_of(spec: PreprocessSpec) -> list[str]:
    """Names of the channels (IMU); empty for other modalities."""
    channels = spec.parameters.get("channels", [])
    return list(map(str, channels)) if isinstance(channels, list) else []


def _shapes(tensors: Sequence[Any]) -> str:
    return ", ".join(f"{tensor.name} {tensor.shape}" for tensor in tensors)


def _told_by_data(
    request: AdaptRequest, base: HeadSpec, rows: Sequence[Row]
) -> dict[str, JsonValue]:
    value, modality = rows[0].value, base.modality
    if modality is Modality.TEXT:
        return {"pair": isinstance(value, dict)}
    if modality is Modality.TABULAR:
        return {"columns": _schema(rows)}
    if modality is Modality.HYPERSPECTRAL:
        if isinstance(value, Pixel):
            return {"bands": int(value.scene.cube.shape[-1])}
        if isinstance(value, np.ndarray):
            return {"bands": int(value.shape[-1])}
    if modality is Modality.IMU and "channels" not in request.preprocess:
        return _channels(base, rows[0])
    return {}


def _channels(base: HeadSpec, row: Row) -> dict[str, JsonValue]:
    """Names of the channels in a recording; the base's, where it has them all or none is named."""
    known, value = channels_of(base.preprocess), row.value
    if isinstance(value, np.ndarray):
        count = value.shape[-1]
        if count == len(known):
            return {}
        return {"channels": [f"channel_{number}" for number in range(1, count + 1)]}
    if isinstance(value, Path):
        frame = read_table(value)
    elif isinstance(value, dict):
        frame = Frame.of(
            {name: column for name, column in value.items() if isinstance(column, list)}
        )
    else:
        raise InvalidInputError(f"{row.where}: expected a recording, a table of channels")
    if not frame.named or set(known) <= set(frame.columns):
        return {}
    time = find_time_column(frame)
    names = [name for name in frame.columns if name != time and frame.is_numeric(name)]
    return {"channels": list(names)}


def _schema(rows: Sequence[Row]) -> list[Any]:
    """Columns of a table as training rows have them."""
    cells: list[dict[str, Any]] = []
    for row in rows:
        assert isinstance(row.value, list)
        assert isinstance(row.value[0], dict)
        cells.append(dict(row.value[0]))
    frame = Frame.of({name: [row[name] for row in cells] for name in cells[0]})
    numbers = [name for name in frame.columns if frame.is_numeric(name)]
    typed: list[dict[str, Any]] = [{} for _ in cells]
    for name in frame.columns:
        if name in numbers:
            values: list[Any] = [None if np.isnan(v) else float(v) for v in frame.numbers(name)]
        else:
            values = list(frame.texts(name))
        for row_, value in zip(typed, values, strict=True):
            row_[name] = value
    return schema(typed, numbers)
