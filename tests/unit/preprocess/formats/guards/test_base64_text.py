from __future__ import annotations

import base64

import numpy as np
import pytest
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.guards.base64_text import decode_base64_text, text_of_object
from omnivec2.preprocess.notes import collect_notes

DATA = np.random.default_rng(14).bytes(1001)
PLAIN = base64.b64encode(DATA).decode()
LINES = base64.encodebytes(DATA).decode()


def decode(text: str, limit: int = 2000) -> bytes:
    return decode_base64_text(text, limit, "letters")


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip("="),
        PLAIN + "\n",
        "  " + PLAIN,
        LINES,
        LINES.replace("\n", "\r\n"),
        LINES.strip().replace("\n", " "),
        base64.urlsafe_b64encode(DATA).decode(),
        base64.urlsafe_b64encode(DATA).decode().rstrip("="),
        PLAIN.replace("+", "%2B").replace("/", "%2F"),
        f"data:image/png;base64,{PLAIN}",
        f"data:;base64,{LINES}",
        f"DATA:image/png;BASE64,{PLAIN}",
    ],
)
def test_base64_is_read_in_all_its_spellings(text: str) -> None:
    with collect_notes() as notes:
        assert decode(text) == DATA
    assert not len(notes)


@pytest.mark.parametrize("text", [f"b'{PLAIN}'", f'"{PLAIN}"', PLAIN.replace("+", " ")])
def test_what_is_around_base64_or_lost_is_repaired_and_noted(text: str) -> None:
    with collect_notes() as notes:
        assert decode(text) == DATA
    assert [note.code for note in notes] == ["repaired"]


def test_a_data_url_may_be_percent_encoded() -> None:
    assert decode("data:text/plain,a%20good%20film") == b"a good film"


@pytest.mark.parametrize("text", [LINES, PLAIN, f"data:x,{'a' * 6001}"])
def test_more_than_the_limit_is_refused(text: str) -> None:
    with pytest.raises(TooLargeError):
        decode(text, 900)


@pytest.mark.parametrize(
    ("text", "reason"), [(PLAIN[:-3], "cut"), ("abc$", r"'\$'"), ("abé=", "é")]
)
def test_what_is_not_base64_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(UndecodableError, match=reason):
        decode(text)


@pytest.mark.parametrize(
    "text", ["https://example.org/a.png", "s3://bucket/a.wav", "file:///a.ply", "HTTP://X/Y"]
)
def test_an_address_is_not_fetched(text: str) -> None:
    with pytest.raises(InvalidInputError, match="URLs are not fetched"):
        decode(text)


@pytest.mark.parametrize("text", ["cat.jpg", "./cat.jpg", "/home/me/cat.jpeg", "C:\\cat.png"])
def test_a_file_is_not_read_by_name(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not its path"):
        decode(text)


@pytest.mark.parametrize("key", ["b64", "bytes", "base64", "content"])
def test_an_object_may_hold_the_file(key: str) -> None:
    assert text_of_object({key: "YWJj", "mime_type": "image/png"}, "letters") == "YWJj"


@pytest.mark.parametrize("value", [3, None, {}, {"b64": 3}, {"b64": "a", "age": 1}, [1]])
def test_other_values_hold_no_file(value: JsonValue) -> None:
    assert text_of_object(value, "letters") is None


def test_an_object_with_an_address_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="URLs are not fetched"):
        text_of_object({"url": "https://example.org/a.png"}, "letters")
