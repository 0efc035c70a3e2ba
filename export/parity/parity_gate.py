"""The parity gate: an exported graph answers like the network, at every size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from export.parity.agreement import relative_error
from export.parity.random_samples import length_cases, random_inputs
from omnivec2.arrays import Array, Batch
from omnivec2.errors import ParityError
from omnivec2.passport import PARITY_TOLERANCE, ParityEntry
from omnivec2.preprocess import collate
from omnivec2.spec import HeadSpec

Kind = Literal["random", "sample"]

BATCH_SIZES = (1, 3, 8)


class Reference(Protocol):
    """A model to compare a graph with: a module in PyTorch, or the graph it was made from."""

    @property
    def name(self) -> str:
        """The name in messages."""

    def answer(self, batch: Batch) -> dict[str, Array]:
        """Run a batch and return its outputs by name."""


@dataclass(frozen=True)
class Case:
    """A batch to compare at.

    Attributes:
        batch: The inputs.
        kind: The origin of the inputs.
        lengths: A map from dynamic axes to their sizes.
    """

    batch: Batch
    kind: Kind = "random"
    lengths: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The number of rows of the batch."""
        return len(next(iter(self.batch.values())))


Run = Callable[[Sequence[str], Batch], Sequence[Array]]
"""A function (names of outputs, inputs) -> outputs, like ``run`` of ONNX Runtime's sessions."""


def check_parity(
    reference: Reference,
    run: Run,
    cases: Iterable[Case],
    *,
    tolerance: float = PARITY_TOLERANCE,
) -> tuple[ParityEntry, ...]:
    """Compare a graph with PyTorch eager, or with the graph it was made from.

    Args:
        reference: The model to compare with, in float32 with the weights that the graph reads;
            a module is in eval mode.
        run: A function that runs the graph.
        cases: The batches to compare at.
        tolerance: The largest max|a-b| / max|b| of any output that is allowed (of a lone number:
            / max(|b|, 1)).

    Raises:
        ParityError: An output differs by more, has another shape, or is not finite.
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


def compare(reference: Reference, run: Run, batch: Batch) -> dict[str, float]:
    """Return the relative error of each output of the graph on one batch, by name.

    Raises:
        ParityError: The outputs have different shapes.
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
    """Return the relative error; a lone number below 1 counts as 1.

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
    """Yield random inputs of a head at each batch size and length, then real ones if given."""
    rng = np.random.default_rng(0)
    for lengths in length_cases(head):
        for size in batch_sizes:
            yield Case(random_inputs(head, size, lengths, rng), "random", lengths)
    for size in batch_sizes if samples else ():
        chosen = [samples[index % len(samples)] for index in range(size)]
        yield Case(collate(chosen), "sample")
