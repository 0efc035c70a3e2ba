"""The gate every exported graph passes: it answers like the network, at every size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import nn

from export.samples import length_cases, random_inputs
from omnivec2.errors import ParityError
from omnivec2.passport import PARITY_TOLERANCE, ParityEntry
from omnivec2.preprocess import collate
from omnivec2.spec import HeadSpec

Array = npt.NDArray[Any]
Batch = Mapping[str, Array]
Kind = Literal["random", "sample"]

BATCH_SIZES = (1, 3, 8)
_SMALLEST_SCALE = 1e-6


def check_parity(
    network: nn.Module,
    session: ort.InferenceSession,
    head: HeadSpec,
    *,
    samples: Sequence[Mapping[str, Array]] = (),
    batch_sizes: Sequence[int] = BATCH_SIZES,
    tolerance: float = PARITY_TOLERANCE,
) -> tuple[ParityEntry, ...]:
    """Compare a graph with PyTorch eager on random inputs, and on real ones if given.

    Args:
        network: in eval mode, float32, with the weights the graph reads.
        session: ONNX Runtime on the graph.
        head: says how to make inputs.
        samples: real pre-processed samples, without a batch axis.
        batch_sizes: each is tried with each case of lengths.
        tolerance: largest allowed max|a-b| / max|b| of any output.

    Raises:
        ParityError: an output differs by more, has another shape, or is not finite.
    """
    entries: list[ParityEntry] = []
    for kind, lengths, batch in _cases(head, samples, batch_sizes):
        errors = compare(network, session, head, batch)
        worst = max(errors, key=errors.__getitem__)
        size = len(next(iter(batch.values())))
        if not errors[worst] <= tolerance:
            raise ParityError(
                f"{head.route}: output {worst} differs from PyTorch by {errors[worst]:.1e} of its "
                f"largest value (allowed {tolerance:.0e}) on {kind} inputs, batch {size}"
                + "".join(f", {length} {name}" for name, length in lengths.items())
            )
        entries.append(
            ParityEntry(
                batch_size=size,
                lengths=lengths,
                inputs=kind,
                worst_output=worst,
                max_relative_error=errors[worst],
            )
        )
    return tuple(entries)


def compare(
    network: nn.Module, session: ort.InferenceSession, head: HeadSpec, batch: Batch
) -> dict[str, float]:
    """Output name -> relative error of the graph on one batch.

    Raises:
        ParityError: the outputs have different shapes.
    """
    with torch.inference_mode():
        tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
        expected = {k: v.numpy() for k, v in network(head.route, tensors).items()}
    names = [output.name for output in head.outputs]
    answers: Iterable[Array] = session.run(names, dict(batch))
    errors: dict[str, float] = {}
    for name, answer in zip(names, answers, strict=True):
        if answer.shape != expected[name].shape:
            raise ParityError(
                f"{head.route}: output {name} has shape {list(answer.shape)}, "
                f"PyTorch gives {list(expected[name].shape)}"
            )
        errors[name] = relative_error(answer, expected[name])
    return errors


def relative_error(answer: Array, expected: Array) -> float:
    """max|a-b| / max(max|b|, 1e-6); infinite if either is not finite."""
    if not (np.isfinite(answer).all() and np.isfinite(expected).all()):
        return float("inf")
    difference = np.abs(answer.astype(np.float64) - expected).max(initial=0)
    return float(difference / max(np.abs(expected).max(initial=0), _SMALLEST_SCALE))


def _cases(
    head: HeadSpec, samples: Sequence[Mapping[str, Array]], batch_sizes: Sequence[int]
) -> Iterator[tuple[Kind, dict[str, int], Batch]]:
    rng = np.random.default_rng(0)
    for lengths in length_cases(head):
        for size in batch_sizes:
            yield "random", lengths, random_inputs(head, size, lengths, rng)
    for size in batch_sizes if samples else ():
        chosen = [samples[index % len(samples)] for index in range(size)]
        yield "sample", {}, collate(chosen)
