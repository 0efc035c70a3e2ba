"""Rows -> prepared arrays, by the pre-processor that will serve the head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnivec2.errors import InputError, InvalidInputError
from omnivec2.preprocess import Array, Preprocessor, Sample
from omnivec2.training.adaptation.answer_forms import (
    AnswerForm,
    form_of,
    mean_by_item,
    probabilities,
    strata_of,
)
from omnivec2.training.adaptation.reading.group_parts import groups_of
from omnivec2.training.adaptation.reading.labelled_rows import Pixel, Row
from omnivec2.training.adaptation.reading.validation_folds import folds_of
from omnivec2.training.data.blocks.examples import Example, Origin
from omnivec2.training.data.blocks.inputs import prepare_examples

_MOST_NAMED = 3


@dataclass(frozen=True)
class Prepared:
    """The samples of a part.

    Attributes:
        samples: The named arrays; an input (a recording) may have several.
        item: The input that each sample belongs to, int64 [samples].
        labels: The labels of the items, as :class:`AnswerForm` has them; of a forecast the next
            steps, in the deviation of each context from its mean.
        skipped: The inputs that could not be decoded, with the reasons.
        folds: The fold that each item is validated in, -1 for none; None where folds are drawn.
        scales: The divisors of a forecast's errors before a metric, float32 [items].
        groups: The group of each item; empty where none belong together.
    """

    samples: list[Sample]
    item: Array
    labels: Array
    skipped: tuple[str, ...] = ()
    folds: Array | None = None
    scales: Array | None = None
    groups: tuple[str, ...] = ()

    def by_item(self, answers: Array) -> Array:
        """Return probabilities, or quantities as they are, of every item from those of samples.

        Args:
            answers: The logits or quantities of all samples, [samples, outputs].
        """
        form = form_of(self.labels)
        values = answers if form is AnswerForm.QUANTITIES else probabilities(answers, form)
        return mean_by_item(values, self.item)[1]

    def validation_folds(self, count: int, *, seed: int) -> Array:
        """Return the fold that each item is validated in, -1 for none: the given ones, or drawn.

        Args:
            count: The number of folds to draw.
            seed: The seed to draw with.
        """
        if self.folds is not None:
            return self.folds
        return folds_of(strata_of(self.labels), count, seed=seed)

    def take(self, items: Array) -> Prepared:
        """Return the samples of some inputs, which are numbered anew."""
        number = np.full(len(self.labels), -1)
        number[items] = np.arange(len(items))
        kept = np.flatnonzero(number[self.item] >= 0)
        samples = [self.samples[i] for i in kept.tolist()]
        return Prepared(
            samples,
            number[self.item[kept]],
            self.labels[items],
            folds=None if self.folds is None else self.folds[items],
            scales=None if self.scales is None else self.scales[items],
        )


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
        classes: The classes or tags in the order of outputs; none for quantities.
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
    for row, found in zip(rows, _samples_of_rows(rows, preprocessor), strict=True):
        if isinstance(found, InputError):
            bad.append(f"{row.where}: {found}")
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
    _require_all_classes(rows, kept, classes, bad)
    labels = encode_labels(kept, classes)
    item = np.array(items, dtype=np.int64)
    return Prepared(samples, item, labels, tuple(bad), groups=groups_of(kept))


def _require_all_classes(
    rows: Sequence[Row], kept: Sequence[Row], classes: Sequence[str], bad: Sequence[str]
) -> None:
    if not classes or not bad:
        return
    if lost := {name for row in rows for name in _names(row)} - {
        n for r in kept for n in _names(r)
    }:
        raise InvalidInputError(
            f"every input of {', '.join(sorted(lost)[:_MOST_NAMED])} was skipped, the first is "
            f"{bad[0]}; mend one, or take the class out"
        )


def _names(row: Row) -> tuple[str, ...]:
    return (row.label,) if isinstance(row.label, str) else tuple(map(str, row.label))


def encode_labels(rows: Sequence[Row], classes: Sequence[str]) -> Array:
    """Return the labels of rows as :class:`AnswerForm` has them.

    Args:
        rows: The rows, all of one form.
        classes: The classes or tags in the order of outputs; none for quantities.
    """
    if not classes:
        return np.array([row.label for row in rows], dtype=np.float32)
    index = {name: number for number, name in enumerate(classes)}
    if isinstance(rows[0].label, str):
        return np.array([index[str(row.label)] for row in rows], dtype=np.int64)
    tags = np.zeros((len(rows), len(classes)), dtype=np.uint8)
    for applies, row in zip(tags, rows, strict=True):
        applies[[index[name] for name in _names(row)]] = 1
    return tags


def _samples_of_rows(
    rows: Sequence[Row], preprocessor: Preprocessor[Any, Any]
) -> Iterator[Sequence[Sample] | InputError]:
    """Yield the samples of every row, or the error that says why there are none."""
    pixels = [row.value for row in rows if isinstance(row.value, Pixel)]
    if pixels:
        for pixel in pixels:
            yield [pixel.scene.samples(preprocessor)[pixel.index]]
        return
    examples = [Example(row.value, None, Origin(row.where)) for row in rows]  # type: ignore[arg-type]
    # Rows of tables are prepared many at a time.
    for prepared in prepare_examples(examples, preprocessor):
        yield prepared if isinstance(prepared, InputError) else prepared.samples
