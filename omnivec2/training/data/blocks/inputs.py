"""From the value of an example to the arrays of a network, by the pre-processor that serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import InputError, InvalidInputError, TooLargeError
from omnivec2.preprocess import Prepared, Preprocessor
from omnivec2.spec import Modality
from omnivec2.training.data.array_inputs import prepare_array
from omnivec2.training.data.blocks.examples import Example, Value

_TABLE_ROWS = 1000
"""Rows of a table that are prepared at once: one by one takes twenty times as long."""


def prepare_value(value: Value, preprocessor: Preprocessor[Any, Any]) -> Prepared:
    """Decode and prepare one input.

    Args:
        value: The input: a file, stored bytes, a JSON value, or an array.
        preprocessor: The pre-processor with the parameters of the head.

    Raises:
        InputError: The input is not one that the pre-processor takes.
    """
    if isinstance(value, Path):
        return preprocessor.prepare(preprocessor.decode(_file_bytes(value, preprocessor)))
    if isinstance(value, np.ndarray):
        return prepare_array(value, preprocessor)
    if value is None or isinstance(value, str | int | float | bool | list | dict):
        return preprocessor.prepare(preprocessor.decode_json(value))
    return preprocessor.prepare(preprocessor.decode(value.read()))


def prepare_examples(
    examples: Sequence[Example], preprocessor: Preprocessor[Any, Any]
) -> Iterator[Prepared | InputError]:
    """Yield every example prepared, or the error that says why it cannot be; in their order."""
    if preprocessor.modality is Modality.TABULAR and all(
        isinstance(example.value, list) for example in examples
    ):
        yield from _prepare_records(examples, preprocessor)
        return
    for example in examples:
        try:
            prepared = prepare_value(example.value, preprocessor)
            if not len(prepared.samples):
                raise InvalidInputError("the input has no sample")
            yield one_per_input(prepared)
        except InputError as error:
            yield error
        except OSError as error:
            yield InvalidInputError(f"the file cannot be read: {error.strerror or error}")


def _prepare_records(
    examples: Sequence[Example], preprocessor: Preprocessor[Any, Any]
) -> Iterator[Prepared | InputError]:
    """Prepare rows of tables many at a time; one by one where a row is wrong."""
    for start in range(0, len(examples), _TABLE_ROWS):
        some = examples[start : start + _TABLE_ROWS]
        records: list[Any] = [example.value[0] for example in some]  # type: ignore[index]
        try:
            samples = prepare_value(records, preprocessor).samples
        except InputError:
            samples = []
        if len(samples) == len(some):
            for sample in samples:
                yield Prepared([sample])
            continue
        for record in records:
            try:
                yield prepare_value([record], preprocessor)
            except InputError as error:
                yield error


def one_per_input(prepared: Prepared) -> Prepared:
    """Return the sample of the middle where a pre-processor makes one per pixel."""
    if "grid" not in prepared.context:
        return prepared
    height, width = prepared.context["grid"]
    return Prepared([prepared.samples[height // 2 * width + width // 2]], prepared.context)


def _file_bytes(path: Path, preprocessor: Preprocessor[Any, Any]) -> bytes:
    most = preprocessor.limits.bytes
    size = path.stat().st_size
    if not size:
        raise InvalidInputError("the file is empty")
    if size > most:
        raise TooLargeError(f"the file is larger than {most:,} bytes")
    return path.read_bytes()
