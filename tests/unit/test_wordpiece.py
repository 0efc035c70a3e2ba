from __future__ import annotations

import pytest

from omnivec2.wordpiece import END_ID, START_ID, text_of, tokenizer


@pytest.mark.parametrize(
    "text",
    [
        "The patient's 25-year-old son has had a cough for 3.5 days.",
        'He said "no pain" (so far), and takes 50% less.',
        "Is it worse at 11 a.m. or later? I don't know!",
        "#person1# likes tea.",
    ],
)
def test_ids_come_back_as_people_write(text: str) -> None:
    ids = tokenizer().encode(text).ids
    found = text_of(ids)
    assert found.lower() == text.lower()
    assert found[:1] == text[:1]


def test_a_text_has_as_many_ids_as_it_has_pieces() -> None:
    assert tokenizer().encode("No fever.", add_special_tokens=False).ids == [2053, 9016, 1012]
    assert len(tokenizer().encode("cough " * 700, add_special_tokens=False).ids) == 700


def test_special_ids_are_no_part_of_a_text() -> None:
    assert text_of([START_ID, 7592, END_ID, 0]) == "Hello"


def test_untidy_text_has_single_spaces_and_small_letters() -> None:
    ids = tokenizer().encode("Hello, world.", add_special_tokens=False).ids
    assert text_of(ids, tidy=False) == "hello , world ."


def test_a_text_that_begins_in_the_middle_of_a_word_loses_only_the_continuation_mark() -> None:
    ids = [tokenizer().token_to_id("##ing"), tokenizer().token_to_id("on")]
    assert text_of(ids, tidy=False) == "ing on"
