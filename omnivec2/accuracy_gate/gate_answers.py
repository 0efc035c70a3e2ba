"""The answers of an engine to the inputs of a gate file, and the check of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from omnivec2.accuracy_gate.answer_distances import measure
from omnivec2.accuracy_gate.gate_file import Gate
from omnivec2.arrays import Array, Batch
from omnivec2.errors import ArtifactError
from omnivec2.generation import (
    COPIED,
    GENERATED,
    PAST,
    PREVIOUS,
    STATE,
    STEP,
    constant_inputs,
    first_inputs,
)
from omnivec2.spec import HeadSpec

Run = Callable[[Batch], Mapping[str, Array]]
"""Runs a batch: the tensors by name -> the outputs by name, each (rows, ...)."""


@dataclass(frozen=True)
class GateResult:
    """The result of a check.

    Attributes:
        points: The distance from the reference in metric points; infinite for wrong answers.
        tolerance: The largest distance that passes.
    """

    points: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the engine may serve the head."""
        return self.points <= self.tolerance


def check_gate(spec: HeadSpec, gate: Gate, run: Run, decode: Run | None = None) -> GateResult:
    """Compare an engine with the reference answers of a head.

    The first row is run alone and the others in batches, because engines choose other kernels
    for a single row.

    Args:
        spec: The spec of the head.
        gate: Its inputs and reference answers.
        run: A function that runs the head in the engine.
        decode: A function that runs a step of its decoder in the engine, if it writes text.

    Raises:
        ArtifactError: The head writes text, and there is no decoder.
        ModelNotReadyError: The engine failed.
    """
    answers: list[Mapping[str, Array]] = []
    for rows in _batches(gate.rows, spec.max_batch_size):
        inputs = {name: array[rows] for name, array in gate.inputs.items()}
        outputs = run(inputs)
        if gate.words is not None:
            decoder = _decoder_of(spec, decode)
            outputs, _ = decoder_steps(spec, inputs, outputs, decoder, words=gate.words[rows])
        answers.append(outputs)
    try:
        joined = {
            name: np.concatenate([outputs[name] for outputs in answers]) for name in gate.outputs
        }
    except (KeyError, ValueError):  # an output is missing, or of another shape
        return GateResult(float("inf"), gate.tolerance)
    return GateResult(measure(spec, gate.outputs, joined, gate.scales), gate.tolerance)


def decoder_steps(
    spec: HeadSpec,
    inputs: Batch,
    outputs: Mapping[str, Array],
    decode: Run,
    *,
    words: Array | None = None,
    steps: int = 0,
) -> tuple[dict[str, Array], Array]:
    """Run the first steps of the decoder of a head that writes text, as greedy search does.

    Args:
        spec: The spec of the head.
        inputs: The inputs of the head, each (rows, ...).
        outputs: Its outputs.
        decode: A function that runs one step of the decoder.
        words: The words to go on with, int32 (rows, steps); None follows the decoder's own.
        steps: The number of steps if there are no words.

    Returns:
        The probabilities of the next word, ``generated`` and ``copied``, each (rows, steps,
        words), nothing if the decoder's tensors are of other shapes; and the words.
    """
    assert spec.generation is not None, f"{spec.route} writes no text"
    count = words.shape[1] if words is not None else steps
    source = inputs[spec.generation.source]
    constant = constant_inputs(spec, inputs, outputs)
    begin = first_inputs(spec.generation, len(source))
    past, previous = begin[PAST], begin[PREVIOUS]
    given: list[Array] = []
    answers: list[dict[str, Array]] = []
    for step in range(count):
        previous = previous if words is None else words[:, step : step + 1]
        given.append(previous)
        own = {PREVIOUS: previous, STEP: np.full((len(source), 1), step, np.int32)}
        answer = decode({**own, PAST: past.copy(), **constant})
        if answer[STATE].shape != past[:, :, step].shape:
            return {}, np.concatenate(given, axis=1)
        past[:, :, step] = answer[STATE]
        copied = answer[COPIED][:, :, : source.shape[1]]
        answers.append({GENERATED: answer[GENERATED], COPIED: copied})
        previous = answer[GENERATED].argmax(axis=2).astype(np.int32)
    probabilities = {
        name: np.concatenate([answer[name] for answer in answers], axis=1)
        for name in (GENERATED, COPIED)
    }
    return probabilities, np.concatenate(given, axis=1)


def _decoder_of(spec: HeadSpec, decode: Run | None) -> Run:
    if decode is None:
        raise ArtifactError(f"{spec.name} writes text: its gate needs its decoder")
    return decode


def _batches(rows: int, most: int) -> Iterator[slice]:
    """Yield the first row, then the others in batches of at most ``most``."""
    yield slice(0, 1)
    for start in range(1, rows, most):
        yield slice(start, min(rows, start + most))
