"""One step of a decoder as a part of its own: its tensors, its axes and what it computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from export.graphs.decoder_step import decoder_part
from export.graphs.network_parts import NetworkPart
from export.graphs.traceable import traceable_head
from export.parity.random_samples import random_inputs
from omnivec2.arrays import Array
from omnivec2.generation import (
    COPIED,
    GENERATED,
    MEMORY,
    PAST,
    PREVIOUS,
    STATE,
    STEP,
    constant_inputs,
    first_inputs,
)
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.summarization import LOG_PROBS
from omnivec2.network.tokenizers.text import TARGET_IDS
from omnivec2.spec import Generation, HeadSpec
from tests.support.networks.writing import ROUTE, WORDS, writing_network

Inputs = dict[str, Array]


@pytest.fixture(scope="module")
def written() -> tuple[OmniVec2, list[HeadSpec]]:
    return writing_network()


@pytest.fixture(scope="module")
def network(written: tuple[OmniVec2, list[HeadSpec]]) -> OmniVec2:
    return written[0]


@pytest.fixture(scope="module")
def head(written: tuple[OmniVec2, list[HeadSpec]]) -> HeadSpec:
    return written[1][0]


@pytest.fixture(scope="module")
def part(network: OmniVec2, head: HeadSpec) -> NetworkPart:
    return decoder_part(network, head)


def generation_of(head: HeadSpec) -> Generation:
    assert head.generation is not None
    return head.generation


def source(head: HeadSpec, rows: int = 2, length: int = 7) -> Inputs:
    """Texts of one length."""
    lengths = {"tokens": length}
    return random_inputs(head, rows, lengths, np.random.default_rng(1))


def constants(network: OmniVec2, head: HeadSpec, inputs: Inputs) -> Inputs:
    """The decoder's inputs that stay the same in a search over texts."""
    return constant_inputs(head, inputs, traceable_head(network, head).answer(inputs))


def test_the_decoder_is_a_part_with_the_tensors_and_batches_of_its_head(
    part: NetworkPart, head: HeadSpec
) -> None:
    generation = generation_of(head)
    assert (part.spec.name, part.spec.kind) == (generation.decoder, "decoder")
    assert part.spec.inputs == part.traceable.inputs == generation.inputs
    assert part.spec.outputs == part.traceable.outputs == generation.outputs
    assert part.spec.max_batch_size == head.max_batch_size
    assert not part.traceable.module.training


def test_it_is_traced_with_sizes_of_which_no_two_axes_have_the_same(part: NetworkPart) -> None:
    sizes: dict[str, set[int]] = {}
    for name, axes in part.traceable.axes.items():
        for axis, label in axes.items():
            sizes.setdefault(label, set()).add(part.traceable.example[name].shape[axis])
    assert all(len(found) == 1 for found in sizes.values())
    distinct = {size for found in sizes.values() for size in found}
    assert len(distinct) == len(sizes)
    assert not distinct & {0, 1}


def test_its_example_has_the_types_and_fixed_sizes_of_the_spec(part: NetworkPart) -> None:
    assert list(part.traceable.example) == [tensor.name for tensor in part.spec.inputs]
    for tensor in part.spec.inputs:
        array = part.traceable.example[tensor.name]
        assert array.dtype == tensor.dtype
        for size, wanted in zip(array.shape[1:], tensor.shape, strict=True):
            assert wanted in (-1, size)


def test_what_it_generates_and_copies_are_the_probabilities_of_one_choice(
    part: NetworkPart,
) -> None:
    answers = part.traceable.answer(part.traceable.example)
    assert list(answers) == [GENERATED, COPIED, STATE]
    total = answers[GENERATED].sum(axis=2) + answers[COPIED].sum(axis=2)
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_places_after_the_step_and_other_beams_count_for_nothing(part: NetworkPart) -> None:
    example = dict(part.traceable.example)
    example[STEP] = np.full_like(example[STEP], 2)
    answers = part.traceable.answer(example)
    past = example[PAST].copy()
    past[:, :, 2:] = 9.0
    past[:, 1] = -9.0
    previous = example[PREVIOUS].copy()
    previous[:, 1] = 3
    changed = part.traceable.answer({**example, PAST: past, PREVIOUS: previous})
    for name, answer in answers.items():
        np.testing.assert_allclose(changed[name][:, 0], answer[:, 0], atol=1e-5)
        assert not np.allclose(changed[name][:, 1], answer[:, 1], atol=1e-5)


def test_steps_one_after_the_other_give_what_the_network_learns_from_whole_texts(
    part: NetworkPart, network: OmniVec2, head: HeadSpec
) -> None:
    inputs = source(head)
    generation = generation_of(head)
    rows = np.array([[5, 9, 30, 4], [40, 6, 7, 50]])  # of the decoder's own words
    ids = np.array(WORDS)[rows]
    batch = first_inputs(generation, len(ids)) | constants(network, head, inputs)
    found = []
    for number in range(rows.shape[1]):
        answers = part.traceable.answer(batch)
        can_copy = inputs["input_ids"] == ids[:, number, None]
        copied = answers[COPIED][:, 0, : can_copy.shape[1]] * can_copy
        own = np.take_along_axis(answers[GENERATED][:, 0], rows[:, number, None], axis=1)
        found.append(np.log(own[:, 0] + copied.sum(axis=1)))
        batch[PAST][:, :, number] = answers[STATE]
        batch[PREVIOUS] = rows[:, number, None].astype(np.int32)
        batch[STEP] = np.full_like(batch[STEP], number + 1)
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    with torch.inference_mode():
        wanted = network(ROUTE, {**tensors, TARGET_IDS: torch.from_numpy(ids)})[LOG_PROBS]
    np.testing.assert_allclose(np.stack(found, axis=1), wanted.numpy(), atol=1e-4)


def test_a_step_reads_the_memory_that_the_head_gives(
    part: NetworkPart, network: OmniVec2, head: HeadSpec
) -> None:
    fixed = constants(network, head, source(head))
    width = next(t.shape[-1] for t in part.spec.inputs if t.name == MEMORY)
    assert fixed[MEMORY].shape[2] == width
    first = first_inputs(generation_of(head), 2)
    before = part.traceable.answer(first | fixed)
    after = part.traceable.answer(first | fixed | {MEMORY: fixed[MEMORY] * 2})
    assert not np.allclose(before[GENERATED], after[GENERATED], atol=1e-5)


def test_a_head_that_writes_no_text_has_no_decoder(
    written: tuple[OmniVec2, list[HeadSpec]],
) -> None:
    network, (_, embedding) = written
    with pytest.raises(AssertionError, match="text/embedding writes no text"):
        decoder_part(network, embedding)
