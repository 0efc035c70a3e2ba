"""Changes of a text that keep its meaning keep the ids; others change them or are noted."""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from omnivec2.errors import InputError, InvalidInputError, TooLargeError
from omnivec2.preprocess.notes import Note, collect_notes
from omnivec2.preprocess.source_options import state
from omnivec2.preprocess.text import Text, TextOptions, TextParameters, TextPreprocessor
from service.http.forms.content_type import ContentType

READER = TextPreprocessor(TextParameters(max_tokens=64))
PAIRS = TextPreprocessor(TextParameters(max_tokens=64, pair=True))
SEEDS = range(30)
_WORD_LIST = """
film story actor café naïve señor über slow bright never not worst best 1984 don't it's
well-made moving dull “quoted” résumé city £5 50% end, however; ends.
"""
WORDS = _WORD_LIST.split()

Ids = dict[str, Any]


def sentence(seed: int, words: int = 12) -> str:
    """A sentence in Latin letters, some of them with accents, that begins with a plain word."""
    rng = np.random.default_rng(seed)
    return "film " + " ".join(rng.choice(WORDS, words))


def ids_of(text: Text, reader: TextPreprocessor = READER) -> Ids:
    (sample,) = reader.prepare(text).samples
    return {name: array.tolist() for name, array in sample.items()}


def as_charset(charset: str) -> Callable[[str], Text]:
    def change(text: str) -> Text:
        declared = ContentType.parse(f"text/plain; charset={charset}")
        return READER.decode(declared.as_utf8(text.encode(charset, "ignore")), "text/plain")

    return change


def as_json(make: Callable[[str], Any]) -> Callable[[str], Text]:
    return lambda text: READER.decode(json.dumps(make(text)).encode(), "application/json")


def as_data_url(text: str) -> Text:
    return READER.decode_json("data:text/plain;base64," + base64.b64encode(text.encode()).decode())


KEPT: dict[str, Callable[[str], Text]] = {
    "as a file": lambda text: READER.decode(text.encode()),
    "with a mark": lambda text: READER.decode(text.encode("utf-8-sig"), "text/plain"),
    "in UTF-16": lambda text: READER.decode(text.encode("utf-16"), "text/plain"),
    "in UTF-32": lambda text: READER.decode(text.encode("utf-32"), "text/plain"),
    "declared as UTF-16": as_charset("utf-16-be"),
    "declared as Windows-1252": as_charset("windows-1252"),
    "as JSON": as_json(str),
    "as an object": as_json(lambda text: {"text": text}),
    "as a request": as_json(lambda text: {"inputs": text}),
    "as a data URL": as_data_url,
    "in capitals": str.upper,
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "composed": lambda text: unicodedata.normalize("NFC", text),
    "with white space": lambda text: "\n  " + text.replace(" ", " \t\r\n ") + "\n",
    "with other blanks": lambda text: text.replace(" ", "\u00a0"),
}

CHANGED: dict[str, Callable[[str], str]] = {
    "a word more": lambda text: text + " indeed",
    "a word less": lambda text: text.rpartition(" ")[0],
    "other order": lambda text: " ".join(text.split()[::-1]) + " first",
    "punctuation": lambda text: text + "!?",
    "negation": lambda text: "not " + text,
}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_text_is_the_same_however_it_is_sent(seed: int) -> None:
    text = sentence(seed)
    expected = ids_of(text)
    for name, change in KEPT.items():
        with collect_notes() as notes:
            assert ids_of(change(text)) == expected, name
        assert not len(notes), name


@pytest.mark.parametrize("seed", SEEDS)
def test_another_text_has_other_ids(seed: int) -> None:
    text = sentence(seed)
    for name, change in CHANGED.items():
        assert ids_of(change(text)) != ids_of(text), name


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_not_read_of_a_text_is_noted(seed: int) -> None:
    text = sentence(seed, words=150)
    with collect_notes() as notes:
        kept = ids_of(text)
    (cut,) = [note for note in notes if note.code == "cut"]
    whole = TextPreprocessor(TextParameters(max_tokens=2000)).prepare(text).samples[0]
    assert len(kept["input_ids"]) + cut.count == len(whole["input_ids"])
    with state(TextOptions(truncate=False)), pytest.raises(TooLargeError):
        READER.prepare(text)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pair_is_the_same_however_it_is_sent(seed: int) -> None:
    first, second = sentence(seed), sentence(seed + 1000)
    expected = ids_of((first, second), PAIRS)
    sent = [
        PAIRS.decode(f"{first}\n{second}".encode()),
        PAIRS.decode(f"{first}\r\n\r\n{second}\r\n".encode(), "text/plain"),
        PAIRS.decode(f"{first}\t{second}".encode("utf-16"), "text/plain"),
        PAIRS.decode_json([first, second]),
        PAIRS.decode_json({"text_pair": second, "text": first}),
        PAIRS.decode(json.dumps({"text": first, "text_pair": second}).encode()),
    ]
    assert [ids_of(pair, PAIRS) for pair in sent] == [expected] * len(sent)
    assert ids_of((second, first), PAIRS) != expected


@pytest.mark.parametrize("seed", SEEDS)
def test_a_text_that_says_nothing_is_refused_or_noted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    signs = "".join(rng.choice(list(".,;:!?-()…“”*#"), 8))
    stop_words = " ".join(rng.choice(["the", "of", "and", "it", "is", "was", "to", "in"], 5))
    for text in (signs, stop_words, stop_words.title() + "?"):
        assert "empty" in [note.code for note in notes_of(text)], text
    blanks = "".join(rng.choice(list(" \t\n\u00a0"), 6))
    with pytest.raises(InvalidInputError):
        notes_of(blanks)


@pytest.mark.parametrize("seed", SEEDS)
def test_bytes_of_another_kind_are_no_text(seed: int) -> None:
    data = np.random.default_rng(seed).bytes(400)
    with pytest.raises(InputError):
        READER.decode(b"\x89PNG\r\n\x1a\n" + data, "text/plain")


def notes_of(text: str) -> list[Note]:
    with collect_notes() as notes:
        READER.prepare(READER.decode_json(text))
    return list(notes)
