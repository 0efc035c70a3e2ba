"""The JSON forms of recordings: one list per channel, and triples of axes under one name."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.notes import NoteCode, note

_AXES = ("x", "y", "z")


def recording_from_json(value: JsonValue, channels: int, window: int) -> JsonValue:
    """Rewrite an array (channels, samples) as rows, and ``{"acc": [[x, y, z], ...]}`` as columns.

    Args:
        value: The input.
        channels: The number of channels of the head.
        window: The samples that the head reads at least: shorter lists are rows.

    Raises:
        InvalidInputError: there are long lists, and another number of them than channels.
    """
    count = _length_of_lists(value)
    per_channel = count >= max(window, channels + 2)
    if per_channel and isinstance(value, list) and len(value) in (channels, channels + 1):
        note(
            NoteCode.GUESSED,
            f"{len(value)} lists of {count:,} numbers are taken for one list per channel, "
            "not one per sample",
        )
        return [list(row) for row in zip(*_lists(value), strict=True)]
    if per_channel and isinstance(value, list) and len(value) < window:
        raise InvalidInputError(
            f"{len(value)} lists of {count:,} numbers are no recording of {channels} channels: "
            "expected one list per channel, or one per sample",
            field="inputs",
        )
    if isinstance(value, dict) and any(_length_of_lists(cells) for cells in value.values()):
        columns: dict[str, JsonValue] = {}
        for name, cells in value.items():
            columns |= _axes_of(name, cells)
        return columns
    return value


def _axes_of(name: str, cells: JsonValue) -> dict[str, JsonValue]:
    """Return the three axes of an array (samples, 3) or (3, samples) as columns."""
    width = _length_of_lists(cells)
    if not isinstance(cells, list) or not width or 3 not in (width, len(cells)):
        return {name: cells}
    rows = _lists(cells)
    columns = (
        rows if len(rows) == 3 and width != 3 else [list(axis) for axis in zip(*rows, strict=True)]
    )
    return {f"{name}_{axis}": column for axis, column in zip(_AXES, columns, strict=True)}


def _lists(value: list[Any]) -> list[list[Any]]:
    return [row for row in value if isinstance(row, list)]


def _length_of_lists(value: JsonValue) -> int:
    """Return the common length of the lists in a list; 0 if it holds anything else."""
    if not isinstance(value, list) or not value:
        return 0
    lengths = {len(row) if isinstance(row, list) else 0 for row in value}
    return lengths.pop() if len(lengths) == 1 else 0
