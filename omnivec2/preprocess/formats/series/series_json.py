"""The JSON forms of time series: those of GluonTS and DeepAR, of pandas, and pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.pandas_json import unwrap_table
from omnivec2.preprocess.formats.tables.time_axis import is_time_text
from omnivec2.preprocess.formats.tables.times.time_numbers import word_set
from omnivec2.preprocess.notes import NoteCode, note

_FIELDS = frozenset({"start", "freq", "item_id", "prediction_length"})
"""Fields beside ``target`` that say nothing about its values."""

_COVARIATES = word_set(
    "cat dynamic_feat feat_static_cat feat_static_real feat_dynamic_cat feat_dynamic_real "
    "past_feat_dynamic_cat past_feat_dynamic_real static_covariates past_covariates "
    "future_covariates known_covariates"
)
"""Fields of GluonTS, DeepAR, Darts and AutoGluon that describe a series further."""

_INDEX = "index"


def series_from_json(value: JsonValue) -> JsonValue:
    """Rewrite the forms that only time series have as columns; others stay as they are."""
    if isinstance(value, dict) and isinstance(value.get("target"), list):
        return _target(value)
    value = unwrap_table(value)
    if isinstance(value, dict):
        if len(value) > 1 and _is_keyed(value):
            # pandas' Series.to_json(): times or row numbers -> values.
            return {_INDEX: [_key(key) for key in value], "target": list(value.values())}
        return value
    if isinstance(value, list) and value and all(_is_entry(item) for item in value):
        return _several(value)
    return value


def is_list_of_rows(value: JsonValue, context_length: int) -> bool:
    """Whether a list of lists holds one row per step rather than one series per list.

    Lists of two to 16 cells, as many as a head reads values, are no series.
    """
    if not isinstance(value, list) or len(value) < context_length:
        return False
    widths = {len(row) if isinstance(row, list) else 0 for row in value}
    return len(widths) == 1 and 2 <= min(widths) <= min(16, context_length - 1)


def _is_keyed(value: Mapping[str, JsonValue]) -> bool:
    if not all(cell is None or isinstance(cell, int | float | str) for cell in value.values()):
        return False
    numbers = sum(isinstance(cell, int | float) for cell in value.values())
    return numbers > 0 and all(key.isdigit() or is_time_text(key) for key in value)


def _key(key: str) -> JsonValue:
    return int(key) if key.isdigit() else key


def _is_entry(item: JsonValue) -> bool:
    return isinstance(item, dict) and isinstance(item.get("target"), list)


def _several(items: list[Any]) -> JsonValue:
    """Return a list of GluonTS's entries as columns, if they are equally long."""
    columns: dict[str, JsonValue] = {}
    unused: set[str] = set()
    for number, item in enumerate(items, 1):
        label = str(item.get("item_id", f"series {number}"))
        for key, cells in _target(item).items():
            if not key.startswith("target"):
                unused.add(key)
                continue
            name = label if key == "target" else f"{label}/{key}"
            if name in columns:
                raise InvalidInputError(f"two series are named {name!r}", field="inputs")
            columns[name] = cells
    if unused:
        note(
            NoteCode.IGNORED,
            f"fields beside the targets were not used: {', '.join(sorted(unused)[:8])}",
            count=len(unused),
        )
    length = min(len(cells) for cells in columns.values() if isinstance(cells, list))
    return {name: cells[-length:] for name, cells in columns.items() if isinstance(cells, list)}


def _target(value: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the columns of an entry of GluonTS; covariates are noted."""
    unused = [name for name in value if name in _COVARIATES]
    if unused:
        note(
            NoteCode.IGNORED,
            f"static features and covariates are not used by this head: {', '.join(unused)}",
            field=f"inputs.{unused[0]}",
            count=len(unused),
        )
    kept = {name: cells for name, cells in value.items() if name not in _FIELDS | _COVARIATES}
    target = kept["target"]
    rows = [row for row in target if isinstance(row, list)] if isinstance(target, list) else []
    if isinstance(target, list) and len(rows) < max(1, len(target)):
        return kept | {"target": _values(target)}
    # GluonTS's series of several dimensions: (dimensions, steps).
    del kept["target"]
    for number, row in enumerate(rows, 1):
        kept[f"target {number}"] = _values(row)
    return kept


def _values(cells: list[Any]) -> JsonValue:
    """Return values in which GluonTS's text "NaN" is missing, as null is."""
    return [None if isinstance(cell, str) and cell.lower() == "nan" else cell for cell in cells]
