"""Files of labelled series of aeon, sktime and timeseriesclassification.com: ``.ts``.

::

    # comments
    @problemName Gestures
    @univariate true
    @classLabel true left right
    @data
    0.1,0.2,?,0.4:left

A line is one series: its values, a colon, and its label. Series may differ in length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.tables.frame import Frame

LABEL = "label"
"""The name of the column of labels."""

_MISSING = "?"


def refuse_forecast(path: Path) -> None:
    """Refuse a file of labelled series where series to be continued are expected.

    Raises:
        InvalidInputError: It is one.
    """
    if path.name.lower().removesuffix(".gz").endswith(".ts"):
        raise InvalidInputError(
            f"{path}: its series have labels; to learn those, give label: {LABEL} in a recipe, or "
            "--task-family classification"
        )


def read_ts(text: str) -> Frame:
    """Read the series of a file as a row each: ``label``, and ``step 1``, … in their order.

    Shorter series are filled up with missing values behind their end.

    Args:
        text: The contents of the file.

    Raises:
        InvalidInputError: It is no such file, its series have times, several dimensions or no
            labels, or a value is no number; the message names the line.
    """
    lines = _numbered(text)
    is_regression = _read_header(lines)
    series: list[list[float]] = []
    labels: list[str] = []
    numbers: list[int] = []
    for number, line in lines:
        dimensions, _, label = line.rpartition(":")
        if ":" in dimensions:
            raise InvalidInputError(
                f"line {number}: {dimensions.count(':') + 1} dimensions; expected one: series of "
                "several are recordings, which are read from arrays (.npz)"
            )
        if not dimensions.strip() or not label.strip():
            raise InvalidInputError(
                f"line {number}: expected values, a colon and a label, such as 0.1,0.2:left"
            )
        series.append([_value(cell.strip(), number) for cell in dimensions.split(",")])
        labels.append(label.strip())
        numbers.append(number)
    if not series:
        raise InvalidInputError("there are no series behind @data")
    values = np.full((len(series), max(map(len, series))), np.nan)
    for row, steps in enumerate(series):
        values[row, : len(steps)] = steps
    column = np.array(labels, dtype=object)
    if is_regression:
        column = np.array([_value(cell, n) for cell, n in zip(labels, numbers, strict=True)])
    steps_by_name = {f"step {index + 1}": values[:, index] for index in range(values.shape[1])}
    return Frame({LABEL: column, **steps_by_name})


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with their numbers from 1."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith(("#", "%")):
            yield number, line.strip()


def _read_header(lines: Iterator[tuple[int, str]]) -> bool:
    """Read up to ``@data``, and return whether labels are quantities."""
    stated: dict[str, str] = {}
    for number, line in lines:
        if not line.startswith("@"):
            raise InvalidInputError(
                f"line {number}: expected a line such as @problemName, or @data"
            )
        name, _, value = line[1:].partition(" ")
        if name.lower() == "data":
            break
        stated[name.lower()] = value.strip().lower()
    else:
        raise InvalidInputError("there is no line @data; expected the series behind one")
    if stated.get("timestamps", "").startswith("true"):
        raise InvalidInputError(
            "its series have times (@timeStamps true); expected values alone: write it as a table "
            "with a row per step"
        )
    is_regression = stated.get("targetlabel", "").startswith("true")
    if not is_regression and stated.get("classlabel", "").startswith("false"):
        raise InvalidInputError("its series have no labels (@classLabel false)")
    return is_regression


def _value(cell: str, number: int) -> float:
    if cell == _MISSING or cell.lower() == "nan":
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise InvalidInputError(f"line {number}: {cell!r} is no number")
    return value
