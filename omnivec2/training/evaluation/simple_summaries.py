"""Extractive baselines of summarization: sentences of the dialogue, unchanged."""

from __future__ import annotations

import re
from collections.abc import Callable

from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.evaluation.quality_metrics import METRICS

LEAD, LONGEST = "lead", "longest"
_MOST = 6
"""The maximum number of sentences of a baseline; the number is chosen on ``val``."""

_SPEAKER = re.compile(r"^\s*#?\w+#?:\s*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")

Choose = Callable[[list[str], int], list[str]]


def summarization_baselines(task: TaskData) -> dict[str, float]:
    """Measure the first sentences of a dialogue, and its longest ones in their order."""
    metric = METRICS[task.metric].measure

    def measure(split: Split, choose: Choose, count: int) -> float:
        texts = [" ".join(choose(split_sentences(text.source), count)) for text in split.targets]
        return metric(texts, [text.references for text in split.targets])

    values = {}
    for name, choose in ((LEAD, _first), (LONGEST, _longest)):
        counts = range(1, _MOST + 1)
        best = max(counts, key=lambda count: measure(task.splits["val"], choose, count))
        values[name] = measure(task.splits["test"], choose, best)
    return values


def split_sentences(dialogue: str) -> list[str]:
    """Split a dialogue into sentences, without the names of the speakers."""
    turns = [_SPEAKER.sub("", line) for line in dialogue.splitlines()]
    return [part for turn in turns for part in _SENTENCE.split(turn.strip()) if part]


def _first(parts: list[str], count: int) -> list[str]:
    return parts[:count]


def _longest(parts: list[str], count: int) -> list[str]:
    chosen = sorted(range(len(parts)), key=lambda index: -len(parts[index]))[:count]
    return [parts[index] for index in sorted(chosen)]
