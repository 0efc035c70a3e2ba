"""ROUGE (Lin, 2004): words, pairs of words and longest common subsequence of two texts.

F-measures without stemming, over runs of ASCII letters and digits in lower case, as the
package ``rouge-score`` computes them with its defaults. Several references are averaged.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

_WORD = re.compile(r"[a-z0-9]+")

T = TypeVar("T")


def rouge1(found: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Compute the mean F-measure of single words, in 0..1.

    Args:
        found: The predicted text of every sample.
        references: The texts that people wrote, at least one per sample.
    """
    return _mean(found, references, lambda a, b: _ngram_overlap(_ngrams(a, 1), _ngrams(b, 1)))


def rouge2(found: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Compute the mean F-measure of pairs of neighbouring words; see ``rouge1``."""
    return _mean(found, references, lambda a, b: _ngram_overlap(_ngrams(a, 2), _ngrams(b, 2)))


def rouge_l(found: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Compute the mean F-measure of the longest common subsequence; see ``rouge1``."""
    return _mean(found, references, lambda a, b: _f_measure(_common_length(a, b), len(a), len(b)))


def split_words(text: str) -> list[str]:
    """Split a text into the words that are compared."""
    return _WORD.findall(text.lower())


def _mean(
    found: Sequence[str],
    references: Sequence[Sequence[str]],
    score: Callable[[list[str], list[str]], float],
) -> float:
    total = 0.0
    for text, texts in zip(found, references, strict=True):
        own = split_words(text)
        total += sum(score(own, split_words(reference)) for reference in texts) / len(texts)
    return total / len(found)


def _ngrams(text: list[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(text[i : i + size]) for i in range(len(text) - size + 1))


def _ngram_overlap(first: Counter[T], second: Counter[T]) -> float:
    return _f_measure((first & second).total(), first.total(), second.total())


def _f_measure(shared: int, first: int, second: int) -> float:
    """Return the harmonic mean of shared / first and shared / second; 0 if none is shared."""
    return 2 * shared / (first + second) if shared else 0.0


def _common_length(first: list[str], second: list[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for column, other in enumerate(second, start=1):
            above = row[column]
            row[column] = diagonal + 1 if word == other else max(above, row[column - 1])
            diagonal = above
    return row[-1]
