"""Texts: words, each left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import JsonValue

from omnivec2.explanations.occlusion import Occlusion, Segment, even_spans
from omnivec2.preprocess import Prepared, Preprocessor, Sample


def occlude(preprocessor: Preprocessor[Any, Any], prepared: Prepared, most: int) -> Occlusion:
    """Cut a text, or two, into words, neighbours together if there are many; see the package."""
    sample = prepared.samples[0]
    encoding = prepared.context["encoding"]
    runs = _words(encoding)
    groups = [runs[start:stop] for start, stop in even_spans(len(runs), most)]

    def mask(segment: int, index: int) -> Sample:
        # Not [MASK]: heads were trained without it, and its mere presence moves their scores.
        hidden = [position for word in groups[segment] for position in word]
        return {name: np.delete(array, hidden) for name, array in sample.items()}

    return Occlusion(
        "words" if len(groups) == len(runs) else "runs of words",
        "a text without the word" if len(groups) == len(runs) else "a text without the words",
        [Segment(_place(group, encoding)) for group in groups],
        mask,
    )


def _words(encoding: Any) -> list[list[int]]:
    """Return the positions of the tokens of every word, in the order of the text."""
    words: dict[tuple[int, int], list[int]] = {}
    for position, (text, word) in enumerate(
        zip(encoding.sequence_ids, encoding.word_ids, strict=True)
    ):
        if text is not None and word is not None:
            words.setdefault((text, word), []).append(position)
    return list(words.values())


def _place(group: list[list[int]], encoding: Any) -> dict[str, JsonValue]:
    """Return the characters of words that follow one another, in the text that has the first.

    A run of words that reaches into the second text of a pair names both.
    """
    places: dict[int, dict[str, JsonValue]] = {}
    for word in group:
        text = encoding.sequence_ids[word[0]]
        start, end = encoding.offsets[word[0]][0], encoding.offsets[word[-1]][1]
        places.setdefault(text, {"text": text, "start": start})["end"] = end
    first, *others = places.values()
    return {**first, "and": others[0]} if others else first
