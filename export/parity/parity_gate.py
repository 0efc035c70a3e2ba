"""The gate every exported graph passes: it answers like the network, at every size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from export.parity.agreement import Array, relative_error
from export.parity.random_samples import length_cases, random_inputs
from omnivec2.errors import ParityError
from omnivec2.passport import PARITY_TOLERANCE, ParityEntry
from omnivec2.preprocess import collate
from omnivec2.spec import HeadSpec

Batch = Mapping[str, Array]
Kind = Literal["random", "sample"]

BATCH_SIZES = (1, 3, 8)


class Answering(Protocol):
    """What a graph is compared with: a module in PyTorch, or the graph it was made from."""

    @property
    def name(self) -> str:
        """For messages."""

    def answer(self, batch: Batch) -> dict[str, Array]:
        """Output -> its value."""


@dataclass(frozen=True)
class Case:
    """A batch to compare at, and what it stands for."""

    batch: Batch
    kind: Kind = "random"
    lengths: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Rows of the batch."""
        return len(next(iter(self.batch.values())))


Run = Callable[[Sequence[str], Batch], Sequence[Array]]
"""(names of outputs, inputs) -> outputs; an ONNX Runtime session's ``run`` is one."""


def check_parity(
    reference: Answering,
    run: Run,
    cases: Iterable[Case],
    *,
    tolerance: float = PARITY_TOLERANCE,
) -> tuple[ParityEntry, ...]:
    """Compare a graph with PyTorch eager, or with the graph it was made from.

    Args:
        reference: float32, with the weights the graph reads; a module is in eval mode.
        run: runs the graph.
        cases: batches to compare at.
        tolerance: largest allowed max|a-b| / max|b| of any output (a lone number: / max(|b|, 1)).

    Raises:
        ParityError: an output differs by more, has another shape, or is not finite.
    """
    entries: list[ParityEntry] = []
    for case in cases:
        errors = compare(reference, run, case.batch)
        worst = max(errors, key=errors.__getitem__)
        if not errors[worst] <= tolerance:
            raise ParityError(
                f"{reference.name}: output {worst} differs from PyTorch by {errors[worst]:.1e} of "
                f"its largest value (allowed {tolerance:.0e}) on {case.kind} inputs, "
                f"batch {case.size}"
                + "".join(f", {length} {name}" for name, length in case.lengths.items())
            )
        entries.append(
            ParityEntry(
                batch_size=case.size,
                lengths=dict(case.lengths),
                inputs=case.kind,
                worst_output=worst,
                max_relative_error=errors[worst],
            )
        )
    return tuple(entries)


def compare(reference: Answering, run: Run, batch: Batch) -> dict[str, float]:
    """Output name -> relative error of the graph on one batch.

    Raises:
        ParityError: the outputs have different shapes.
    """
    expected = reference.answer(batch)
    errors: dict[str, float] = {}
    for name, answer in zip(expected, run(list(expected), dict(batch)), strict=True):
        if answer.shape != expected[name].shape:
            raise ParityError(
                f"{reference.name}: output {name} has shape {list(answer.shape)}, "
                f"PyTorch gives {list(expected[name].shape)}"
            )
        errors[name] = _error(answer, expected[name])
    return errors


def _error(answer: Array, expected: Array) -> float:
    """The relative error; a lone number below 1 counts as 1.

    It has nothing to be compared with but itself, and any rounding is large beside one that
    happens to lie near zero, as a regression of one row may.
    """
    error = relative_error(answer, expected)
    if expected.size != 1 or not np.isfinite(error):
        return error
    return float(min(error, np.abs(answer.astype(np.float64) - expected).item()))


def cases_of(
    head: HeadSpec,
    samples: Sequence[Mapping[str, Array]] = (),
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> Iterator[Case]:
    """Random inputs of a head at each batch size and case of lengths, then real ones if given."""
    rng = np.random.default_rng(0)
    for lengths in length_cases(head):
        for size in batch_sizes:
            yield Case(random_inputs(head, size, lengths, rng), "random", lengths)
    for size in batch_sizes if samples else ():
        chosen = [samples[index % len(samples)] for index in range(size)]
        yield Case(collate(chosen), "sample")
