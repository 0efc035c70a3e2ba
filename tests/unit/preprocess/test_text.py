from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import (
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import collate, preprocessor_type
from omnivec2.preprocess.notes import collect_notes
from omnivec2.preprocess.source_options import state
from omnivec2.preprocess.text import TextOptions, TextParameters, TextPreprocessor
from omnivec2.spec import Limits, Modality

DATA = Path(__file__).parents[2] / "data" / "text"
SINGLE = TextPreprocessor(TextParameters())
PAIR = TextPreprocessor(TextParameters(pair=True))


def test_the_registry_finds_the_text_preprocessor():
    assert preprocessor_type(Modality.TEXT) is TextPreprocessor


def test_text_becomes_the_ids_of_bert():
    (sample,) = SINGLE.prepare("Hello, world!").samples
    assert sample["input_ids"].tolist() == [101, 7592, 1010, 2088, 999, 102]
    assert sample["token_type_ids"].tolist() == [0] * 6
    assert sample["attention_mask"].tolist() == [1] * 6
    assert {array.dtype for array in sample.values()} == {np.dtype("int32")}
    assert tuple(sample) == tuple(spec.name for spec in SINGLE.inputs)


def test_a_long_text_is_cut_at_the_side_that_is_stated():
    text = " ".join(["start", *["word"] * 300, "end"])
    ends = {}
    for side in ("left", "right", None):
        with state(TextOptions(truncation_direction=side)), collect_notes() as notes:
            ids = SINGLE.prepare(text).samples[0]["input_ids"].tolist()
        assert (ids[0], ids[-1], len(ids)) == (101, 102, 256)
        ends[side] = ids[1], ids[-2]
        (noted,) = notes
        assert noted.count == 302 - 254
    assert ends["right"] == ends[None] == (2707, 2773)  # start, word
    assert ends["left"] == (2773, 2203)  # word, end


def test_the_second_text_of_a_pair_has_segment_one():
    (sample,) = PAIR.prepare(("Hello", "world")).samples
    assert sample["input_ids"].tolist() == [101, 7592, 102, 2088, 102]
    assert sample["token_type_ids"].tolist() == [0, 0, 0, 1, 1]


def test_batches_are_padded_with_zeros_and_masked():
    texts = ("Hello", "Hello, world!")
    batch = collate([SINGLE.prepare(text).samples[0] for text in texts])
    assert batch["input_ids"].shape == (2, 6)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]


def test_long_text_is_cut_to_max_tokens_and_keeps_its_last_separator():
    cut = TextPreprocessor(TextParameters(max_tokens=16)).prepare("word " * 500).samples[0]
    assert len(cut["input_ids"]) == 16
    assert cut["input_ids"][-1] == 102


def test_a_long_pair_loses_tokens_of_its_longer_text():
    pair = TextPreprocessor(TextParameters(max_tokens=16, pair=True))
    sample = pair.prepare(("word " * 500, "two words")).samples[0]
    assert len(sample["input_ids"]) == 16
    assert sample["token_type_ids"].sum() == 3


@pytest.mark.parametrize("media_type", ["text/plain", None])
def test_a_plain_text_file_is_one_text(media_type):
    text = SINGLE.decode((DATA / "review.txt").read_bytes(), media_type)
    assert isinstance(text, str)
    assert text.startswith("A warm, funny")


def test_a_byte_order_mark_is_dropped():
    assert SINGLE.decode(b"\xef\xbb\xbfgood") == "good"


def test_text_that_only_starts_like_json_is_plain_text():
    assert SINGLE.sniff(b"[great] film") == "text/plain"
    assert SINGLE.decode(b"[great] film") == "[great] film"


@pytest.mark.parametrize("media_type", ["application/json", None])
def test_a_json_file_is_one_text(media_type):
    assert SINGLE.sniff((DATA / "review.json").read_bytes()) == "application/json"
    assert SINGLE.decode((DATA / "review.json").read_bytes(), media_type).startswith("The plot")
    assert SINGLE.decode(b'{"inputs": "good"}', "application/json") == "good"
    assert SINGLE.decode(b'"good"', "application/json") == "good"


@pytest.mark.parametrize(
    "value",
    [
        {"text": "a", "text_pair": "b"},
        ["a", "b"],
    ],
)
def test_a_pair_comes_as_an_object_or_a_list_of_two_strings(value):
    assert PAIR.split(value) is None
    assert PAIR.decode_json(value) == ("a", "b")
    assert PAIR.decode(json.dumps({"inputs": value}).encode(), "application/json") == ("a", "b")


@pytest.mark.parametrize("data", [b"a\nb\n", b"a\r\n\r\nb", b"a\tb"])
def test_a_pair_comes_as_two_lines_or_with_a_tab(data):
    assert PAIR.decode(data) == ("a", "b")


@pytest.mark.parametrize("name", ["pair.txt", "pair.json"])
def test_pair_files_hold_two_texts(name):
    pair = PAIR.decode((DATA / name).read_bytes())
    assert isinstance(pair, tuple)
    first, second = pair
    assert first.startswith("The committee")
    assert second.startswith("On Tuesday")


def test_a_list_of_strings_is_a_batch_for_a_head_of_one_text():
    assert SINGLE.split(["a", "b"]) == ["a", "b"]
    assert SINGLE.split("a") is None


def test_a_list_of_pairs_is_a_batch_for_a_pair_head():
    assert PAIR.split([["a", "b"], ["c", "d"]]) == [["a", "b"], ["c", "d"]]
    assert PAIR.split([{"text": "a", "text_pair": "b"}]) == [{"text": "a", "text_pair": "b"}]


@pytest.mark.parametrize(
    "data", [b"\xff\xfehello", b"caf\xe9", b"\x89PNG\r\n\x1a\n\x00\x01", b"a\x00b"]
)
@pytest.mark.parametrize("media_type", ["text/plain", None])
def test_bytes_that_are_no_utf8_text_are_undecodable(data, media_type):
    with pytest.raises(UndecodableError, match="not"):
        SINGLE.decode(data, media_type)


@pytest.mark.parametrize("data", [b"{", b'{"text": }', b"[" * 100_000, b"NaN", b"9" * 9_999])
def test_broken_json_is_undecodable(data):
    with pytest.raises(UndecodableError, match="JSON"):
        SINGLE.decode(data, "application/json")


@pytest.mark.parametrize("data", [b"", b"  \n\t "])
def test_empty_text_is_refused(data):
    with pytest.raises(InvalidInputError, match="empty"):
        SINGLE.decode(data)


@pytest.mark.parametrize("value", [3, None, True, {"txt": "a"}, {}, {"text": 3}, ["a"]])
def test_json_that_is_no_text_is_refused(value):
    with pytest.raises(InvalidInputError, match="expected a string"):
        SINGLE.decode_json(value)


def test_a_pair_is_refused_by_a_head_of_one_text():
    with pytest.raises(InvalidInputError, match="takes one text"):
        SINGLE.decode_json({"text": "a", "text_pair": "b"})


@pytest.mark.parametrize(
    "value", ["a", ["a"], ["a", "b", "c"], {"text": "a"}, {"text": "a", "text_pair": 3}, ["a", ""]]
)
def test_json_that_is_no_pair_is_refused_by_a_pair_head(value):
    with pytest.raises(InvalidInputError, match=r"two texts|expected a string|empty"):
        PAIR.decode_json(value)


@pytest.mark.parametrize("data", [b"one line", b"a\nb\nc", b"a\t"])
def test_plain_text_that_is_no_pair_is_refused_by_a_pair_head(data):
    with pytest.raises(InvalidInputError, match="two lines"):
        PAIR.decode(data)


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(InvalidInputError, match="surrogate"):
        SINGLE.decode_json("\ud800")


def test_text_over_the_limit_of_characters_is_refused():
    limited = TextPreprocessor(TextParameters(), Limits(characters=10))
    with pytest.raises(TooLargeError, match="10 characters"):
        limited.decode_json("a" * 11)


def test_other_media_types_are_unsupported():
    with pytest.raises(UnsupportedMediaTypeError, match="plain text"):
        SINGLE.decode(b"x", "text/html")


def test_a_head_that_reads_fewer_tokens_than_it_is_given_refuses_the_rest():
    short = TextPreprocessor(TextParameters(), Limits(tokens=4))
    assert len(short.prepare("hello there").samples) == 1
    with pytest.raises(TooLargeError, match="more than 4 tokens"):
        short.prepare("hello there you")


def test_a_text_is_its_bytes():
    assert not SINGLE.may_expand(b"A film.")
    assert not SINGLE.may_expand("A film.")
