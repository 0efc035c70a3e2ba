from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from omnivec2.generation import Search as RealSearch
from omnivec2.generation import (
    SearchOptions,
    constant_inputs,
    encode_vocabulary,
    padded_ids,
    vocabulary_of,
)
from omnivec2.spec import Generation, TensorSpec
from tests.support.networks.writing import generation, head_that_writes

WORDS = [0, 100, 101, 102, 1000, 1001, 1002, 1003]
END, FIRST = WORDS.index(102), WORDS.index(1000)
SPEC = generation(WORDS, width=3)
SOURCE = np.array([101, 1001, 5000, 102, 0])

Distribution = dict[int, float]
"""Id -> its probability; 5000 can only be copied."""


def search(answer: Callable[[tuple[int, ...]], Distribution], **options: object) -> list[int]:
    """Return the ids of a search with a decoder that ``answer`` gives the distributions of.

    The state of a word is (its place, the id before it, 0), so that the past that the decoder
    gets lists the words of earlier steps.
    """
    given = {"max_new_tokens": 40, "no_repeat_ngram_size": 0} | options
    running = RealSearch(SPEC, SearchOptions(**given), SOURCE)
    while not running.done:
        inputs = running.inputs()
        step = int(inputs["step"][0])
        beams = len(inputs["previous_ids"])
        generated, copied = np.zeros((beams, len(WORDS))), np.zeros((beams, 8))
        state = np.zeros((beams, 3), np.float32)
        for beam in range(beams):
            before = tuple(inputs["past"][beam, 1:step, 1].astype(int))
            previous = int(inputs["previous_ids"][beam])
            history = (*before, _id_of(running, beam, previous)) if step else ()
            state[beam] = previous, history[-1] if history else 0, 0
            for id_, probability in answer(history).items():
                if id_ in WORDS:
                    generated[beam, WORDS.index(id_)] = probability
                else:
                    copied[beam, SOURCE.tolist().index(id_)] = probability
        running.advance({"generated": generated, "copied": copied, "state": state})
    return [int(id_) for id_ in running.ids]


def _id_of(search: RealSearch, beam: int, previous: int) -> int:
    """Return the id of a previous word; a copied one is passed to the decoder as unknown."""
    return 5000 if WORDS[previous] == 100 else WORDS[previous]


def test_the_likeliest_word_is_written_until_the_end_is() -> None:
    follows = {(): 1001, (1001,): 1003, (1001, 1003): 102}
    assert search(lambda ids: {follows[ids]: 0.9, 1000: 0.1}) == [1001, 1003]


def test_a_word_the_decoder_lacks_is_copied_from_the_source() -> None:
    follows = {(): 5000, (5000,): 1000, (5000, 1000): 102}
    assert search(lambda ids: {follows[ids]: 0.6, 1002: 0.4}) == [5000, 1000]


def test_writing_and_copying_the_same_word_add_up() -> None:
    running = RealSearch(SPEC, SearchOptions(max_new_tokens=1), SOURCE)
    generated = np.zeros((1, len(WORDS)))
    generated[0, FIRST], generated[0, FIRST + 1] = 0.4, 0.3
    copied = np.array([[0.0, 0.2, 0.1, 0.0, 0.0]])
    running.advance({"generated": generated, "copied": copied, "state": np.zeros((1, 3))})
    assert running.ids.tolist() == [1001]


def test_special_words_of_vocabulary_and_source_are_never_written() -> None:
    assert search(lambda ids: {102: 0.5, 1003: 0.1} if not ids else {102: 1.0}) == [1003]
    running = RealSearch(SPEC, SearchOptions(max_new_tokens=1), SOURCE)
    generated = np.full((1, len(WORDS)), 0.01)
    generated[0, :4] = 0.2
    running.advance({"generated": generated, "copied": np.ones((1, 8)), "state": np.zeros((1, 3))})
    assert running.ids.tolist() in ([1001], [5000])


def test_generation_stops_at_the_requested_number_of_words() -> None:
    assert search(lambda _: {1000: 0.9, 102: 0.1}, max_new_tokens=35) == [1000] * 35


def test_no_run_of_words_is_repeated_if_repetition_is_forbidden() -> None:
    ids = search(
        lambda ids: {1000 + len(ids) % 2: 0.8, 1003: 0.15, 102: 0.05},
        max_new_tokens=12,
        no_repeat_ngram_size=2,
    )
    pairs = list(itertools.pairwise(ids))
    assert len(pairs) == len(set(pairs))
    assert ids[:3] == [1000, 1001, 1000]


def garden_path(ids: tuple[int, ...]) -> Distribution:
    """The likeliest first word leads to nothing good."""
    if not ids:
        return {1000: 0.6, 1001: 0.4}
    if len(ids) == 1:
        return {1002: 0.3, 1003: 0.3, 1000: 0.4} if ids[0] == 1000 else {1003: 1.0}
    return {102: 1.0}


def test_beams_find_what_greedy_search_misses() -> None:
    assert search(garden_path) == [1000, 1000]
    assert search(garden_path, num_beams=2) == [1001, 1003]
    assert search(garden_path, num_beams=4) == [1001, 1003]


def test_a_length_penalty_above_one_prefers_longer_texts() -> None:
    def answer(ids: tuple[int, ...]) -> Distribution:
        return {102: 1.0} if len(ids) == 3 else {1000 + len(ids): 0.5, 102: 0.5}

    assert len(search(answer, num_beams=3, length_penalty=0.0)) == 1
    assert len(search(answer, num_beams=3, length_penalty=3.0)) == 3


def test_beams_that_change_places_take_their_past_along() -> None:
    seen: list[tuple[int, ...]] = []

    def answer(ids: tuple[int, ...]) -> Distribution:
        seen.append(ids)
        if not ids:
            return {1000: 0.55, 1001: 0.45}
        if ids == (1000,):
            return {1002: 0.5, 1003: 0.5}
        if ids == (1001,):
            return {1003: 1.0}
        return {102: 1.0}

    assert search(answer, num_beams=2) == [1001, 1003]
    assert {(1000,), (1001,), (1001, 1003)} <= set(seen)


def test_room_for_past_words_grows_with_the_text() -> None:
    running = RealSearch(SPEC, SearchOptions(max_new_tokens=40, no_repeat_ngram_size=0), SOURCE)
    sizes = []
    for _ in range(40):
        inputs = running.inputs()
        sizes.append(inputs["past"].shape[1])
        assert inputs["step"][0] <= inputs["past"].shape[1]
        generated = np.eye(len(WORDS))[[FIRST]]
        running.advance(
            {"generated": generated, "copied": np.zeros((1, 8)), "state": np.ones((1, 3))}
        )
    assert running.done
    assert sorted(set(sizes)) == [16, 32, 64]


def test_a_vocabulary_survives_the_trip_through_a_spec() -> None:
    ids = np.array([0, 5, 8, 30521])
    assert vocabulary_of(encode_vocabulary(ids, 30522)).tolist() == ids.tolist()
    with pytest.raises(ValueError, match="base64"):
        vocabulary_of("no base64!")


def test_inputs_as_long_as_the_source_are_padded_to_its_memory() -> None:
    spec = head_that_writes(WORDS)
    inputs = {"input_ids": np.ones((2, 7)), "attention_mask": np.ones((2, 7), np.int32)}
    constant = constant_inputs(spec, inputs, {"memory": np.ones((2, 20, 4))})
    assert sorted(constant) == ["attention_mask", "memory"]
    assert constant["attention_mask"].shape == (2, 20)
    assert constant["attention_mask"].sum() == 14


def test_ids_of_several_searches_are_padded_with_zeros() -> None:
    found = padded_ids([np.array([5, 6]), np.array([7])])
    assert found["ids"].tolist() == [[5, 6], [7, 0]]


def test_a_spec_without_a_decoder_says_nothing_about_one() -> None:
    spec = head_that_writes(WORDS)
    assert "generation" in spec.model_dump()
    assert "generation" not in spec.model_copy(update={"generation": None}).model_dump()
    assert isinstance(SPEC.inputs[0], TensorSpec)
    assert Generation.model_validate_json(SPEC.model_dump_json()) == SPEC
