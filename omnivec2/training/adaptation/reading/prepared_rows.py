"""Rows -> prepared arrays, by the pre-processor that will serve the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnivec2.errors import InputError, InvalidInputError
from omnivec2.preprocess import Array, Preprocessor, Sample
from omnivec2.training.adaptation.reading.labelled_rows import Pixel, Row, Value
from omnivec2.training.data.blocks.inputs import one_per_input, prepare_value

_MOST_NAMED = 3


@dataclass(frozen=True)
class Prepared:
    """The samples of a part.

    Attributes:
        samples: The named arrays; an input (a recording) may have several.
        item: The input that each sample belongs to, int64 [samples].
        labels: The classes, int64 [items], or the quantities, float32 [items, targets].
        skipped: The inputs that could not be decoded, with the reasons.
    """

    samples: list[Sample]
    item: Array
    labels: Array
    skipped: tuple[str, ...] = ()

    def take(self, items: Array) -> Prepared:
        """Return the samples of some inputs, which are numbered anew."""
        number = np.full(len(self.labels), -1)
        number[items] = np.arange(len(items))
        kept = np.flatnonzero(number[self.item] >= 0)
        samples = [self.samples[i] for i in kept.tolist()]
        return Prepared(samples, number[self.item[kept]], self.labels[items])


def prepare_rows(
    rows: Sequence[Row],
    preprocessor: Preprocessor[Any, Any],
    classes: Sequence[str],
    *,
    skip_bad: int,
    advance: Callable[[], None] = lambda: None,
) -> Prepared:
    """Decode and prepare every row.

    Args:
        rows: The rows of one part.
        preprocessor: The pre-processor with the parameters of the head.
        classes: The labels in the order of outputs; none for quantities.
        skip_bad: The number of rows that may fail.
        advance: A callback after every row.

    Raises:
        InvalidInputError: More rows failed, or all of a class; the first ones are named with
            their reasons.
    """
    samples: list[Sample] = []
    items: list[int] = []
    kept: list[Row] = []
    bad: list[str] = []
    for row in rows:
        try:
            found = samples_of(row.value, preprocessor)
        except (InputError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            bad.append(f"{row.where}: {reason or error}")
        else:
            items += [len(kept)] * len(found)
            samples += found
            kept.append(row)
        advance()
    if len(bad) > skip_bad:
        more = f" and {len(bad) - _MOST_NAMED} more" if len(bad) > _MOST_NAMED else ""
        raise InvalidInputError(
            f"{len(bad)} of {len(rows)} inputs cannot be used; --skip-bad {len(bad)} goes on "
            f"without them: {'; '.join(bad[:_MOST_NAMED])}{more}"
        )
    if not kept:
        raise InvalidInputError("no input is left")
    if classes and (lost := {str(row.label) for row in rows} - {str(row.label) for row in kept}):
        raise InvalidInputError(
            f"every input of {', '.join(sorted(lost)[:_MOST_NAMED])} was skipped, the first is "
            f"{bad[0]}; mend one, or take the class out"
        )
    index = {name: number for number, name in enumerate(classes)}
    labels = [index[str(row.label)] if classes else row.label for row in kept]
    wanted = np.array(labels, dtype=np.int64 if classes else np.float32)
    return Prepared(samples, np.array(items, dtype=np.int64), wanted, tuple(bad))


def samples_of(value: Value, preprocessor: Preprocessor[Any, Any]) -> list[Sample]:
    """Return the samples of one input.

    Args:
        value: The input.
        preprocessor: The pre-processor with the parameters of the head.

    Raises:
        InputError: The input is not one that the pre-processor takes.
    """
    if isinstance(value, Pixel):
        return [value.scene.samples(preprocessor)[value.index]]
    prepared = prepare_value(value, preprocessor)
    return list(one_per_input(prepared).samples)
