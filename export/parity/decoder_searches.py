"""The batches that a decoder is compared on: steps of searches, with or without torch.

The memory is that of random inputs, and past states are as earlier steps left them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from export.parity.parity_gate import Case, Reference
from export.parity.random_samples import MAX_BATCH, length_cases, random_inputs
from omnivec2.arrays import Batch
from omnivec2.engines.shape_ranges import BEAMS, LENGTH_LIMITS, PLACES, decoder_limits
from omnivec2.generation import (
    GENERATED,
    PAST,
    PREVIOUS,
    STATE,
    STEP,
    constant_inputs,
)
from omnivec2.parts import LENGTH
from omnivec2.spec import Generation, HeadSpec

_BATCH_SIZES = (1, 3)
_BEAMS = (1, 4)
_STEPS = 18
"""The steps of a search: past the end of the first places, where their number is doubled."""
_COMPARED = (0, 1, 7, _STEPS - 1)


def decoder_axes(
    generation: Generation,
) -> tuple[dict[str, dict[int, str]], dict[str, tuple[int, int]]]:
    """Return the dynamic axes of a decoder.

    Returns:
        A map from inputs to their dynamic axes (axis -> name), and one from these names to
        their smallest and largest sizes.
    """
    # All inputs other than the loop's have the length of the source.
    named = {PREVIOUS: {1: BEAMS}, STEP: {}, PAST: {1: BEAMS, 2: PLACES}}
    axes = {
        tensor.name: {0: "batch", **named.get(tensor.name, {1: LENGTH})}
        for tensor in generation.inputs
    }
    bounds = {
        "batch": (1, MAX_BATCH),
        **decoder_limits(generation),
        LENGTH: LENGTH_LIMITS,
    }
    return axes, bounds


def decoder_cases(head: HeadSpec, whole: Reference, step: Reference) -> Iterator[Case]:
    """Yield steps of searches at several batch sizes, lengths and numbers of beams.

    Args:
        head: A head with ``generation``.
        whole: The head in one piece.
        step: The decoder.
    """
    assert head.generation is not None, f"{head.route} writes no text"
    rng = np.random.default_rng(0)
    for lengths in length_cases(head):
        for size in _BATCH_SIZES:
            inputs = random_inputs(head, size, lengths, rng)
            constant = constant_inputs(head, inputs, whole.answer(inputs))
            for beams in _BEAMS:
                for batch in _search(head.generation, step, constant, (size, beams), rng):
                    yield Case(batch, "random", {**lengths, BEAMS: beams, **_step(batch)})


def _search(
    generation: Generation,
    step: Reference,
    constant: Batch,
    sizes: tuple[int, int],
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """Yield the inputs of some steps; words are chosen at random, states are the decoder's.

    Args:
        generation: The part of the head's spec about text.
        step: The decoder.
        constant: The inputs that stay the same.
        sizes: The numbers of rows and beams.
        rng: The random number generator.
    """
    width = next(t.shape[-1] for t in generation.inputs if t.name == PAST)
    words = next(t.shape[-1] for t in generation.outputs if t.name == GENERATED)
    past = np.zeros((*sizes, 16, width), np.float32)
    for number in range(_STEPS):
        if number == past.shape[2]:
            past = np.concatenate([past, np.zeros_like(past)], axis=2)
        batch = {
            PREVIOUS: rng.integers(0, words, sizes).astype(np.int32),
            STEP: np.full((sizes[0], 1), number, np.int32),
            PAST: past.copy(),
            **constant,
        }
        if number in _COMPARED:
            yield batch
        past[:, :, number] = step.answer(batch)[STATE]


def _step(batch: Batch) -> dict[str, int]:
    return {STEP: int(batch[STEP][0, 0]), PLACES: batch[PAST].shape[2]}
