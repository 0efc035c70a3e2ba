"""BERT's WordPiece vocabulary (uncased, 30,522 entries): its file, and text from ids."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer

VOCABULARY = Path(__file__).parent / "preprocess/assets/bert-base-uncased/tokenizer.json"
SIZE = 30_522
PAD_ID, UNKNOWN_ID, START_ID, END_ID, MASK_ID = 0, 100, 101, 102, 103
"""Ids up to that of [MASK] are special."""
FIRST_WORD_ID = 999
"""The ids below are special or unused: none of them is part of a text."""

_CONTINUES = "##"
# Spaces that WordPiece puts around punctuation, unlike people.
_TIDY = (
    (re.compile(r"\b([a-z]) \. (?=[a-z] \.)"), r"\1."),
    (re.compile(r"# (\w+) #"), r"#\1#"),
    (re.compile(r" ([.,!?;:%)\]}])"), r"\1"),
    (re.compile(r"([(\[{$]) "), r"\1"),
    (re.compile(r"(?<=\w) (['’]) (?=(?:s|t|m|d|re|ve|ll)\b)"), r"\1"),
    (re.compile(r"(?<=\w) ([-/]) (?=\w)"), r"\1"),
    (re.compile(r"(?<=\d)([.,:]) (?=\d)"), r"\1"),
    (re.compile(r'" ([^"]*?) "'), r'"\1"'),
)
# A letter and a full stop are an abbreviation, not the end of a sentence.
_SENTENCE_START = re.compile(r"(?:^|(?<=\w\w[.!?] )|(?<=[\"')\]][.!?] ))[a-z]|\bi\b(?!\.)")


@cache
def tokenizer(max_tokens: int | None = None, cut: Literal["left", "right"] = "right") -> Tokenizer:
    """Load the vocabulary, without padding; callers share the tokenizer and must not change it.

    Args:
        max_tokens: The number of tokens at which texts are cut, of a pair the longer text first;
            None cuts none.
        cut: The side that is cut: the beginning or the end of a text.
    """
    found: Tokenizer = Tokenizer.from_file(str(VOCABULARY))
    # The file has both switched on, for the model it was published with.
    found.no_padding()
    found.no_truncation()
    if max_tokens is not None:
        found.enable_truncation(max_tokens, strategy="longest_first", direction=cut)
    return found


def text_of(ids: Iterable[int], *, tidy: bool = True) -> str:
    """Return ids as text; special ones are left out.

    Args:
        ids: The ids of the vocabulary.
        tidy: Whether to remove spaces before punctuation and to capitalize sentences, which the
            vocabulary does not keep; otherwise single spaces separate words and signs.
    """
    pieces = [tokenizer().id_to_token(id_) or "" for id_ in ids if id_ >= FIRST_WORD_ID]
    text = " ".join(pieces).replace(f" {_CONTINUES}", "").removeprefix(_CONTINUES)
    if not tidy:
        return text
    for pattern, replacement in _TIDY:
        text = pattern.sub(replacement, text)
    return _SENTENCE_START.sub(lambda match: match[0].upper(), text)
