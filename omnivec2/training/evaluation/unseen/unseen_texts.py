"""Sentences whose likeness people judged, and questions with the sentence that answers them."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnivec2.training.data.base import DataDirectories
from omnivec2.training.evaluation.unseen.unseen_set import UnseenSet, pairs, search

_SICK = "text_sick_nli/SICK_test_annotated.txt.gz"
_STSB = "text_stsb/dev.jsonl.gz"
_QNLI = "text_qnli/dev.tsv.gz"
_QUESTIONS = 1000


def sick(at: DataDirectories) -> UnseenSet:
    """Return the pairs of SICK's test part, of which nothing but entailment was trained on."""
    rows = _rows(at.find(_SICK))
    return pairs(
        "SICK relatedness, test part (public half)",
        [row["sentence_A"] for row in rows], [row["sentence_B"] for row in rows],
        np.array([float(row["relatedness_score"]) for row in rows]),
    )  # fmt: skip


def stsb(at: DataDirectories) -> UnseenSet:
    """Return the pairs of STS-B's development part."""
    rows = list(_json_rows(at.find(_STSB)))
    return pairs(
        "STS-B, development part", [row["s1"] for row in rows], [row["s2"] for row in rows],
        np.array([row["score"] for row in rows]),
    )  # fmt: skip


def qnli(at: DataDirectories) -> UnseenSet:
    """Return questions, and the sentences of Wikipedia that answer them."""
    rows = [row for row in _rows(at.find(_QNLI)) if row["label"] == "entailment"][:_QUESTIONS]
    return search(
        "QNLI, questions to sentences",
        [row["question"] for row in rows], [row["sentence"] for row in rows],
    )  # fmt: skip


def plain_form(text: str) -> str:
    """Return the letters and digits of a text in lower case, to compare texts by."""
    return re.sub(r"\W+", "", text.lower())


def kept_for_measuring(at: DataDirectories) -> set[str]:
    """Return the plain forms of all sentences of these sets, as far as they are there."""
    sets = [(sick, _SICK), (stsb, _STSB), (qnli, _QNLI)]
    found = [load(at) for load, name in sets if (at.root / name).exists()]
    return {plain_form(text) for kept in found for text in kept.inputs}


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def _json_rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)
