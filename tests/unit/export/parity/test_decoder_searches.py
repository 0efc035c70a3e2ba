"""The steps of searches that a decoder is compared on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

from export.parity.decoder_searches import decoder_axes, decoder_cases
from export.parity.parity_gate import Case
from export.parity.random_samples import MAX_BATCH, length_cases
from omnivec2.arrays import Array, Batch
from omnivec2.engines.shape_ranges import BEAMS, PLACES
from omnivec2.generation import COPIED, GENERATED, MEMORY, PAST, PREVIOUS, STATE, STEP
from omnivec2.parts import LENGTH, LENGTH_BUCKETS
from omnivec2.spec import HeadSpec, Modality
from tests.support.model_repositories.tiny_models import classification
from tests.support.networks.writing import generation, head_that_writes

WORDS = range(100, 110)
WIDTH = 4
HEAD = head_that_writes(WORDS)
COMPARED = [0, 1, 7, 17]


class Whole:
    """A head whose memory is its text's ids."""

    name = "whole"

    def answer(self, batch: Batch) -> dict[str, Array]:
        ids = batch["input_ids"].astype(np.float32)
        return {MEMORY: np.repeat(ids[..., None], WIDTH, axis=2)}


@dataclass
class Decoder:
    """A decoder whose state is the number of its step, counted from 1; it keeps its batches."""

    name: str = "decoder"
    batches: list[Batch] = field(default_factory=list)

    def answer(self, batch: Batch) -> dict[str, Array]:
        self.batches.append(batch)
        rows, beams = batch[PREVIOUS].shape
        length = batch[MEMORY].shape[1]
        return {
            GENERATED: np.zeros((rows, beams, len(WORDS)), np.float32),
            COPIED: np.zeros((rows, beams, length), np.float32),
            STATE: np.full((rows, beams, WIDTH), 1.0 + batch[STEP][0, 0], np.float32),
        }


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(decoder_cases(HEAD, Whole(), Decoder()))


def test_beams_places_and_the_source_are_dynamic_axes_within_bounds() -> None:
    axes, bounds = decoder_axes(generation(WORDS, most=60))
    assert axes == {
        "previous_ids": {0: "batch", 1: "beams"},
        "step": {0: "batch"},
        "past": {0: "batch", 1: "beams", 2: "places"},
        "memory": {0: "batch", 1: "length"},
        "attention_mask": {0: "batch", 1: "length"},
    }
    assert bounds == {
        "batch": (1, MAX_BATCH),
        BEAMS: (1, generation(WORDS).max_beams),
        PLACES: (1, 120),
        LENGTH: (2, LENGTH_BUCKETS[-1]),
    }


def test_every_batch_size_length_and_number_of_beams_is_compared_at_the_same_steps(
    cases: list[Case],
) -> None:
    found = Counter(
        (case.size, case.batch[MEMORY].shape[1], case.lengths[BEAMS], case.lengths[STEP])
        for case in cases
    )
    lengths = [next(iter(lengths.values())) for lengths in length_cases(HEAD)]
    assert set(found) == {
        (size, length, beams, step)
        for size in (1, 3)
        for length in lengths
        for beams in (1, 4)
        for step in COMPARED
    }
    assert set(found.values()) == {1}


def test_a_case_is_labelled_with_the_sizes_it_has(cases: list[Case]) -> None:
    for case in cases:
        assert case.kind == "random"
        assert case.batch[PREVIOUS].shape == (case.size, case.lengths[BEAMS])
        assert case.batch[PAST].shape == (
            case.size, case.lengths[BEAMS], case.lengths[PLACES], WIDTH
        )  # fmt: skip
        assert (case.batch[STEP] == case.lengths[STEP]).all()


def test_past_states_are_those_that_the_decoder_gave_and_nothing_lies_after_them(
    cases: list[Case],
) -> None:
    for case in cases:
        step = case.lengths[STEP]
        states = case.batch[PAST]
        assert (states[:, :, :step] == np.arange(1, step + 1)[:, None]).all()
        assert not states[:, :, step:].any()


def test_places_are_doubled_when_they_are_used_up(cases: list[Case]) -> None:
    places = {case.lengths[STEP]: case.lengths[PLACES] for case in cases}
    assert places == {0: 16, 1: 16, 7: 16, 17: 32}


def test_words_are_drawn_among_those_of_the_decoder(cases: list[Case]) -> None:
    drawn = np.concatenate([case.batch[PREVIOUS].ravel() for case in cases])
    assert drawn.dtype == np.int32
    assert set(drawn) == set(range(len(WORDS)))


def test_a_batch_is_what_the_decoder_was_run_with_at_that_step() -> None:
    decoder = Decoder()
    for case in decoder_cases(HEAD, Whole(), decoder):
        # A batch is yielded before the step that it leads to is computed.
        assert len(decoder.batches) % 18 == case.lengths[STEP]
        assert set(case.batch) == {"previous_ids", "step", "past", "memory", "attention_mask"}
        assert case.batch[MEMORY].shape[1] == case.batch["attention_mask"].shape[1]


def test_the_same_cases_are_drawn_every_time(cases: list[Case]) -> None:
    again = list(decoder_cases(HEAD, Whole(), Decoder()))
    for first, second in zip(cases, again, strict=True):
        for name, array in first.batch.items():
            np.testing.assert_array_equal(second.batch[name], array)


def test_a_head_that_writes_no_text_has_no_steps_to_compare() -> None:
    head: HeadSpec = classification("imu/activity", "walking", "sitting")
    assert head.modality is Modality.IMU
    with pytest.raises(AssertionError, match="imu/activity writes no text"):
        next(decoder_cases(head, Whole(), Decoder()))
