"""Text generation with a decoder: the search around its steps, without input or output.

::

    search = Search(...)
    while not search.done:
        search.advance(run_decoder(search.inputs()))
    search.ids

Greedy search is beam search with one beam. The decoder says how likely each of its own words
comes next (``generated``) and each word of the source is copied (``copied``); the search adds both
to one distribution over the decoder's words and those that only the source has, as in the
pointer-generator of See et al. (2017).

Shapes: K beams, P places for past words, N ids of the source, V words of the decoder.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from omnivec2.arrays import Array
from omnivec2.spec import Generation, HeadSpec

MEMORY = "memory"
"""The input that a head gives its decoder: float32 (N', width), with N' at least N."""

PREVIOUS, STEP, PAST = "previous_ids", "step", "past"
"""The decoder's own inputs: int32 (K,), the last words as their places among the decoder's
words; int32 (1,), the number of earlier steps; float32 (K, P, width), the states of those."""

GENERATED, COPIED, STATE = "generated", "copied", "state"
"""Its outputs: float32 (K, V) and (K, N'), which add up to 1 over both, and float32
(K, width), the state of this step for later ones."""

IDS = "ids"
"""The output of a search for a post-processor: int64 (rows, T), zeros after each row's end."""

_LOOP = frozenset({PREVIOUS, STEP, PAST})
_PLACES = 16
"""The initial number of places for past words; it is doubled when they are full."""
_SMALLEST = 1e-12


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search.

    Attributes:
        max_new_tokens: The most ids of the answer.
        num_beams: The number of beams; 1 is greedy search.
        length_penalty: The power of the length that a beam's log-probability is divided by.
        no_repeat_ngram_size: The length of runs of ids that may not occur twice; 0 allows all.
    """

    max_new_tokens: int
    num_beams: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 3

    @classmethod
    def of(cls, generation: Generation) -> SearchOptions:
        """Return the default options of a head."""
        return cls(
            generation.max_new_tokens,
            generation.num_beams,
            generation.length_penalty,
            generation.no_repeat_ngram_size,
        )


@dataclass(frozen=True)
class _Beam:
    """The words so far, as places among all words, and the sum of their log-probabilities."""

    places: tuple[int, ...]
    score: float


class Search:
    """The search for one answer.

    Args:
        generation: The part of the head's spec about text.
        options: The options of the search.
        source_ids: The ids (N,) that can be copied; special ones are not.
    """

    def __init__(self, generation: Generation, options: SearchOptions, source_ids: Array) -> None:
        first = generation.first_word_id
        self._options = options
        own = vocabulary_of(generation.vocabulary)
        self._source, self._words = _extended(own, source_ids, first)
        self._own = len(own)
        ends = [generation.end_id, generation.unknown_id]
        self._end, self._unknown = np.searchsorted(own, ends).tolist()
        # The end is the only special word of an answer.
        self._forbidden = np.flatnonzero(self._words < first)
        self._forbidden = self._forbidden[self._forbidden != self._end]
        beams = options.num_beams
        begin = first_inputs(generation, 1, beams)
        self._past, self._previous = begin[PAST][0], begin[PREVIOUS][0]
        # All beams start equal: only the first may branch.
        self._live = [_Beam((), 0.0 if beam == 0 else -np.inf) for beam in range(beams)]
        self._finished: list[tuple[float, tuple[int, ...]]] = []
        self._step = 0
        self.done = False

    def inputs(self) -> dict[str, Array]:
        """Return the decoder's own inputs for the next step, without a batch axis."""
        return {
            PREVIOUS: self._previous,
            STEP: np.array([self._step], np.int32),
            PAST: self._past,
        }

    def advance(self, outputs: Mapping[str, Array]) -> None:
        """Advance by one step.

        Args:
            outputs: The decoder's outputs for ``inputs()``, without a batch axis.
        """
        scores = np.log(self._likelihood(outputs) + _SMALLEST)
        scores[:, self._forbidden] = -np.inf
        if self._step == 0:
            scores[:, self._end] = -np.inf  # no answer is empty
        self._forbid_repetition(scores)
        scores += np.array([[beam.score] for beam in self._live])
        parents = self._choose(scores)
        self._store(outputs[STATE], parents)
        self._step += 1
        if not self.done and self._step == self._options.max_new_tokens:
            for beam in self._live:
                self._finish(beam)
            self.done = True

    @property
    def ids(self) -> Array:
        """The best answer so far: int64 ids without the one that ends it."""
        best = max(self._finished, default=None)
        places = best[1] if best else self._live[0].places
        return np.asarray(self._words[list(places)], dtype=np.int64)

    def _likelihood(self, outputs: Mapping[str, Array]) -> Array:
        """Return the likelihood of each word after each beam: (K, all words)."""
        total = np.zeros((len(self._live), len(self._words)))
        total[:, : self._own] = outputs[GENERATED]
        can_copy = self._source >= 0
        places = self._source[can_copy]
        for index, copied in enumerate(outputs[COPIED]):
            weights = copied[: len(can_copy)][can_copy]
            total[index] += np.bincount(places, weights, minlength=len(self._words))
        return total

    def _forbid_repetition(self, scores: Array) -> None:
        size = self._options.no_repeat_ngram_size
        if size == 0:
            return
        for row, beam in zip(scores, self._live, strict=True):
            places, last = beam.places, len(beam.places) - size + 1
            if last < 0:
                continue
            begun = places[last:]
            for start in range(last):
                if places[start : start + size - 1] == begun:
                    row[places[start + size - 1]] = -np.inf

    def _choose(self, scores: Array) -> list[int]:
        """Make the best continuations the new beams, and return the beams they continue."""
        beams = len(self._live)
        count = scores.shape[1]
        flat = scores.ravel()
        # Twice as many as beams: at most one continuation of each beam ends.
        top = np.argpartition(-flat, 2 * beams - 1)[: 2 * beams]
        top = top[np.argsort(-flat[top], kind="stable")]
        live: list[_Beam] = []
        parents: list[int] = []
        for rank, index in enumerate(top.tolist()):
            parent, place = divmod(index, count)
            score = float(flat[index])
            if len(live) == beams or score == -np.inf:
                break
            if place == self._end:
                if rank < beams:  # others only rank this high because better ones continue
                    self._finish(_Beam(self._live[parent].places, score), ended=1)
                if beams == 1:
                    self.done = True
                    return [0]
                continue
            live.append(_Beam((*self._live[parent].places, place), score))
            parents.append(parent)
        if not live or self._is_final(live[0]):
            self.done = True
            return list(range(beams))
        while len(live) < beams:  # fewer continuations than beams: the others cannot win
            live.append(_Beam(live[0].places, -np.inf))
            parents.append(parents[0])
        self._live = live
        return parents

    def _finish(self, beam: _Beam, ended: int = 0) -> None:
        if beam.score > -np.inf:
            score = self._normalized(beam.score, len(beam.places) + ended)
            self._finished.append((score, beam.places))

    def _is_final(self, best: _Beam) -> bool:
        """Whether no beam can still become better than the finished answers."""
        beams = self._options.num_beams
        if len(self._finished) < beams:
            return False
        worst = sorted((score for score, _ in self._finished), reverse=True)[beams - 1]
        return worst >= self._normalized(best.score, len(best.places))

    def _normalized(self, score: float, length: int) -> float:
        """Return a score by which answers of different lengths are compared."""
        return float(score / max(1, length) ** self._options.length_penalty)

    def _store(self, state: Array, parents: list[int]) -> None:
        if self._step == self._past.shape[1]:
            self._past = np.concatenate([self._past, np.zeros_like(self._past)], axis=1)
        past = self._past[parents]
        past[:, self._step] = state[parents]
        self._past = past
        last = [beam.places[-1] if beam.places else self._end for beam in self._live]
        self._previous = np.array(
            [place if place < self._own else self._unknown for place in last], np.int32
        )


def first_inputs(generation: Generation, rows: int, beams: int = 1) -> dict[str, Array]:
    """Return the decoder's own inputs for the first step of several searches, with a batch axis."""
    width = next(t.shape[-1] for t in generation.inputs if t.name == PAST)
    start = int(np.searchsorted(vocabulary_of(generation.vocabulary), generation.start_id))
    return {
        PREVIOUS: np.full((rows, beams), start, np.int32),
        STEP: np.zeros((rows, 1), np.int32),
        PAST: np.zeros((rows, beams, _PLACES, width), np.float32),
    }


def padded_ids(rows: Sequence[Array]) -> dict[str, Array]:
    """Return the ids of several searches as the outputs of a head."""
    ids_of_rows = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for row, ids in zip(ids_of_rows, rows, strict=True):
        row[: len(ids)] = ids
    return {IDS: ids_of_rows}


def constant_inputs(
    spec: HeadSpec, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the decoder's inputs that are the same in every step, of all rows.

    Inputs as long as the source are padded with zeros to the length of the head's memory.

    Args:
        spec: The spec of the head.
        inputs: The inputs of the head, each (rows, ...).
        outputs: The outputs of the head, each (rows, ...).
    """
    generation = spec.generation
    assert generation is not None
    length = outputs[MEMORY].shape[1]
    constants: dict[str, Array] = {}
    for tensor in generation.inputs:
        if tensor.name in _LOOP:
            continue
        if tensor.name in outputs:
            constants[tensor.name] = outputs[tensor.name]
            continue
        array = inputs[tensor.name]
        padded = np.zeros((len(array), length, *array.shape[2:]), array.dtype)
        padded[:, : array.shape[1]] = array[:, :length]
        constants[tensor.name] = padded
    return constants


def encode_vocabulary(ids: Array, size: int) -> str:
    """Encode ids below ``size`` for ``Generation.vocabulary``."""
    bits = np.zeros(size, np.uint8)
    bits[ids] = 1
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


@lru_cache(maxsize=16)
def vocabulary_of(encoded: str) -> Array:
    """Decode the ids of ``Generation.vocabulary``, ascending int64; callers must not change them.

    Raises:
        ValueError: The text is not base64.
    """
    data = np.frombuffer(base64.b64decode(encoded, validate=True), np.uint8)
    ids = np.flatnonzero(np.unpackbits(data))
    ids.flags.writeable = False
    return ids


def _extended(own: Array, source_ids: Array, first_word_id: int) -> tuple[Array, Array]:
    """Return the places of the source's ids among all words (-1: no copy), and all words."""
    ids = np.asarray(source_ids, np.int64)
    real = ids >= first_word_id
    words = np.concatenate([own, np.setdiff1d(ids[real], own)])
    order = np.argsort(words, kind="stable")
    places = order[np.searchsorted(words, ids, sorter=order).clip(max=len(words) - 1)]
    return np.where(real, places, -1), words
