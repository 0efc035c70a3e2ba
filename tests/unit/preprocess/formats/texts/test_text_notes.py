"""Notes on texts: what was cut, what says nothing, what the network does not know."""

from __future__ import annotations

import pytest

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess.notes import Note, collect_notes
from omnivec2.preprocess.source_options import state
from omnivec2.preprocess.text import TextOptions, TextParameters, TextPreprocessor

SINGLE = TextPreprocessor(TextParameters(max_tokens=16))
PAIR = TextPreprocessor(TextParameters(max_tokens=16, pair=True))


def notes_of(text: str, preprocessor: TextPreprocessor = SINGLE) -> list[Note]:
    with collect_notes() as notes:
        preprocessor.prepare(preprocessor.decode(text.encode(), "text/plain"))
    return list(notes)


def codes(text: str) -> list[str]:
    return [note.code.value for note in notes_of(text)]


@pytest.mark.parametrize("text", ["A good film.", "Not bad!", "Señor, a café!", "no", "it's great"])
def test_an_ordinary_sentence_has_no_notes(text: str) -> None:
    assert codes(text) == []


def test_a_cut_is_noted_with_the_tokens_that_were_left_out() -> None:
    (note,) = notes_of("word " * 50)
    assert note.code == "cut"
    assert note.count == 50 - 14
    assert "16 tokens" in note.text


def test_a_cut_is_refused_if_none_is_allowed() -> None:
    with state(TextOptions(truncate=False)):
        assert notes_of("a short film") == []
        with pytest.raises(TooLargeError, match="36 tokens longer than the 16"):
            SINGLE.prepare("word " * 50)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<p>A good film.</p>", "<p>"),
        ("A good film.<br /><br />I mean it.", "<br />"),
        ('Look <A href="x">here</A> for films', '<A href="x">'),
        ("Salt &amp; pepper", "&amp;"),
        ("It&#39;s good", "&#39;"),
    ],
)
def test_markup_of_web_pages_is_noted(text: str, shown: str) -> None:
    (note,) = [note for note in notes_of(text) if note.code == "unusual"]
    assert f"the text holds HTML ({shown!r})" in note.text


@pytest.mark.parametrize(
    "text", ["I <3 this film", "2 < 3 & 4 > 1", "AT&T; films", "a <bold> plan"]
)
def test_other_signs_are_no_markup(text: str) -> None:
    assert "unusual" not in codes(text)


@pytest.mark.parametrize("text", ["...", "?!?", "-----", "❤"])
def test_a_text_without_words_is_empty(text: str) -> None:
    assert "empty" in codes(text)


@pytest.mark.parametrize("text", ["the", "and of the", "It is what it is."])
def test_a_text_of_stop_words_is_empty(text: str) -> None:
    assert codes(text) == ["empty"]


def test_unknown_words_are_counted() -> None:
    (note,) = notes_of("a good film 🦄 🐉")
    assert (note.code, note.count) == ("unknown_category", 2)


@pytest.mark.parametrize("text", ["очень хороший фильм", "とても良い映画", "فيلم جيد جدا"])
def test_a_text_in_another_script_is_unusual(text: str) -> None:
    assert "unusual" in codes(text)


def test_a_file_in_the_place_of_a_text_is_unusual() -> None:
    assert codes("iVBORw0KGgo" * 40) == ["unusual", "unknown_category"]


def test_an_address_is_read_as_it_is_and_noted() -> None:
    assert "guessed" in codes("https://example.org/review")


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("one text\nanother text", ("one text", "another text")),
        ("one text\tanother text", ("one text", "another text")),
        ("one text\n\nanother text\n", ("one text", "another text")),
        ("one text\t\n\tanother text", ("one text\t", "\tanother text")),
    ],
)
def test_a_pair_is_two_lines_or_two_fields(text: str, pair: tuple[str, str]) -> None:
    found = PAIR.decode(text.encode(), "text/plain")
    assert [one.strip() for one in found] == [one.strip() for one in pair]


@pytest.mark.parametrize(
    "text", ["one\ttext\nanother text", "one text\nits end\tanother text here\nend"]
)
def test_a_separator_that_may_be_a_part_of_a_text_is_noted(text: str) -> None:
    assert [note.code for note in notes_of(text, PAIR)] == ["guessed"]


def test_two_lines_of_two_fields_are_ambiguous() -> None:
    with pytest.raises(InvalidInputError, match="tab"):
        PAIR.decode(b"one\ttwo\nthree\tfour", "text/plain")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_names_the_encoding(encoding: str) -> None:
    assert SINGLE.decode("un café".encode(encoding), "text/plain") == "un café"


def test_a_data_url_holds_a_text() -> None:
    assert SINGLE.decode_json("data:text/plain;base64,YSBmaWxt") == "a film"
