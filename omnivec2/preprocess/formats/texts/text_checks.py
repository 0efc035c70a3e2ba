"""Notes on texts that say little to a network that was trained on English sentences."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from omnivec2.preprocess.formats.guards.base64_text import is_address, is_file_name
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.wordpiece import UNKNOWN_ID

# Words without a meaning of their own: articles, pronouns, prepositions, auxiliary verbs. "not",
# "no" and the like are not among them, because they are a verdict.
_STOP_WORD_LIST = """
a an the and or but if of at by for with about to from in on into than then so as that this
these those there here it its is are was were be been being am do does did have has had will
would shall should can could may might must i you he she we they me him her us them my your
his our their what which who whom whose when where how s t
"""
_STOP_WORDS = frozenset(_STOP_WORD_LIST.split())
_WORD = re.compile(r"[^\W_]+")
_MARKUP = re.compile(
    r"</?(?:a|b|body|br|div|em|font|h[1-6]|html|i|img|li|ol|p|script|span|strong|style|table|td|tr|ul)"
    r"(?:\s[^<>]{0,200})?/?>|&(?:amp|apos|gt|hellip|lt|nbsp|quot|#x?[0-9a-f]{1,6});",
    re.IGNORECASE,
)
_FEW_CHARACTERS = 200
_LONG_WORD = 200
_MOSTLY = 0.5


def check_text(text: str) -> None:
    """Check for what is no sentence: an address, no words, another script, a file, markup."""
    if len(text) <= _FEW_CHARACTERS:
        _check_short_text(text)
    elif " " not in text and "\n" not in text and not any(map(str.isspace, text)):
        note(
            NoteCode.UNUSUAL,
            "the text is one word without any space: is it a file as base64, or a text without "
            "spaces between its words?",
        )
    if not text.isascii():
        _check_script(text)
    if ("<" in text or "&" in text) and (found := _MARKUP.search(text)):
        note(
            NoteCode.UNUSUAL,
            f"the text holds HTML ({found[0][:20]!r}), which was read as words; send the text "
            "without the markup",
        )


def check_ids(ids: Sequence[int]) -> None:
    """Count words that are not in the vocabulary; all of them are one and the same word.

    Args:
        ids: The ids of the word pieces.
    """
    if count := ids.count(UNKNOWN_ID):
        note(
            NoteCode.UNKNOWN_CATEGORY,
            "words or signs that are not in the vocabulary were read as one unknown word [UNK]",
            count=count,
        )


def _check_short_text(text: str) -> None:
    if is_address(text):
        note(
            NoteCode.GUESSED,
            "the text is an address (URL) and was read as it is: URLs are not fetched; send the "
            "text itself",
        )
    elif "." in text and " " not in text and is_file_name(text.strip()):
        note(
            NoteCode.GUESSED,
            "the text is the name of a file and was read as it is: files are not read by name; "
            "send the text itself (curl --data-binary @NAME)",
        )
    has_words = False
    for word in _WORD.finditer(text):
        if word[0].lower() not in _STOP_WORDS:
            return
        has_words = True
    only = "stop words such as 'the' and 'of'" if has_words else "punctuation or signs"
    note(
        NoteCode.EMPTY,
        f"the text is empty of content: it holds only {only}, so that the answer says little",
    )


def _check_script(text: str) -> None:
    others = [sign for sign in text if not sign.isascii() and sign.isalpha()]
    foreign = sum(not unicodedata.name(sign, "").startswith("LATIN") for sign in others)
    letters = sum(map(str.isalpha, text))
    if foreign > _MOSTLY * letters:
        note(
            NoteCode.UNUSUAL,
            "the text is mostly in another script than the Latin one: the network was trained on "
            "English and knows other languages hardly",
        )
