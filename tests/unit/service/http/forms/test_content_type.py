from __future__ import annotations

import pytest

from omnivec2.errors import UndecodableError, UnsupportedMediaTypeError
from omnivec2.preprocess.notes import collect_notes
from service.http.forms.content_type import ContentType

TEXT = "un café agréable"


@pytest.mark.parametrize(
    ("header", "media_type", "charset"),
    [
        ("", "", ""),
        ("text/plain", "text/plain", ""),
        ("Text/CSV; header=present; Charset=ISO-8859-1", "text/csv", "iso-8859-1"),
        ('text/plain;charset="utf-16"', "text/plain", "utf-16"),
    ],
)
def test_a_header_has_a_type_and_a_charset(header: str, media_type: str, charset: str) -> None:
    assert ContentType.parse(header) == ContentType(media_type, charset)


@pytest.mark.parametrize(
    "charset",
    [
        "utf-8",
        "UTF8",
        "iso-8859-1",
        "latin1",
        "windows-1252",
        "cp437",
        "utf-16",
        "utf-16-le",
        "utf-32",
    ],
)
@pytest.mark.parametrize("media_type", ["text/plain", "text/csv", "application/json"])
def test_a_text_is_read_in_its_charset(charset: str, media_type: str) -> None:
    declared = ContentType.parse(f"{media_type}; charset={charset}")
    found = declared.as_utf8(TEXT.encode(charset))
    assert found.decode("utf-8-sig") == TEXT


def test_a_byte_order_mark_of_utf_8_counts_more_than_the_charset() -> None:
    data = TEXT.encode("utf-8-sig")
    assert ContentType.parse("text/plain; charset=iso-8859-1").as_utf8(data) == data


def test_signs_of_windows_in_latin_1_are_read_as_browsers_do() -> None:
    with collect_notes() as notes:
        found = ContentType.parse("text/plain; charset=latin-1").as_utf8("5 €".encode("cp1252"))
    assert found.decode() == "5 €"
    assert [note.code for note in notes] == ["guessed"]


@pytest.mark.parametrize("charset", ["klingon", "zlib", "rot13", "x" * 500, "utf-8\\0"])
def test_an_unknown_charset_is_refused_by_name(charset: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="charset"):
        ContentType.parse(f"text/plain; charset={charset}").as_utf8(b"abc")


def test_a_body_that_is_not_in_its_charset_is_refused() -> None:
    with pytest.raises(UndecodableError, match="encoding"):
        ContentType.parse("text/plain; charset=shift_jis").as_utf8(b"\xff\xff\xff")


def test_the_charset_of_a_picture_means_nothing() -> None:
    assert ContentType.parse("image/png; charset=utf-16").as_utf8(b"\x89PNG") == b"\x89PNG"
