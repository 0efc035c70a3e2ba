from __future__ import annotations

import pytest

from omnivec2.errors import UndecodableError, UnsupportedMediaTypeError
from omnivec2.preprocess.formats.guards.text_encoding import decode_text, looks_like_text
from omnivec2.preprocess.notes import NoteCode, collect_notes

TEXT = "größe,värde\n1,2\n"


@pytest.mark.parametrize(
    "codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"]
)
def test_unicode_is_told_by_its_mark_or_its_bytes(codec):
    with collect_notes() as notes:
        assert decode_text(TEXT.encode(codec)) == TEXT
        assert looks_like_text(TEXT.encode(codec))
    assert not len(notes)


def test_a_mark_of_big_endian_utf16_is_understood():
    assert decode_text(b"\xfe\xff" + TEXT.encode("utf-16-be")) == TEXT


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("iso-8859-1", "latin-1"),
        ("ISO-8859-15", "iso8859-15"),
        ("Windows-1252", "cp1252"),
        ("latin1", "latin-1"),
        ("macintosh", "mac-roman"),
        ("utf8", "utf-8"),
        ("UTF-16LE", "utf-16-le"),
        ("cp850", "cp850"),
        ('"utf-8"', "utf-8"),
    ],
)
def test_a_stated_encoding_is_used(charset, codec):
    assert decode_text(TEXT.encode(codec), charset) == TEXT


def test_other_scripts_are_read_where_their_encoding_is_stated():
    for charset in ("windows-1251", "koi8-r", "cp866"):
        assert decode_text("возраст".encode(charset), charset) == "возраст"
    for charset in ("shift_jis", "euc-jp", "gb18030"):
        assert decode_text("年齢".encode(charset), charset) == "年齢"


def test_what_is_not_utf8_is_read_as_windows_1252_and_noted():
    with collect_notes() as notes:
        assert decode_text("größe €".encode("cp1252")) == "größe €"
    (note,) = notes
    assert note.code is NoteCode.GUESSED
    assert "Windows-1252" in note.text


def test_bytes_that_windows_1252_lacks_are_latin_1():
    assert decode_text(b"\xe9\x81x") == "é\x81x"


def test_a_byte_order_mark_comes_before_the_stated_encoding():
    assert decode_text(TEXT.encode("utf-16"), "utf-8") == TEXT


@pytest.mark.parametrize(
    "charset", ["zip", "rot13", "unicode_escape", "idna", "punycode", "x\0", "?"]
)
def test_codecs_that_are_no_encodings_of_text_are_refused(charset):
    with pytest.raises(UnsupportedMediaTypeError, match="charset"):
        decode_text(b"a,b\n", charset)


def test_bytes_outside_of_the_stated_encoding_are_refused_by_its_name():
    with pytest.raises(UndecodableError, match="UTF-8: byte 1 cannot"):
        decode_text(b"a\xe9b", "utf-8")


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xfe\0\0\0", b"a\0\0\0b\1", bytes(range(256))]
)
def test_binary_files_are_no_text(data):
    with pytest.raises(UndecodableError):
        decode_text(data)


def test_a_binary_file_does_not_look_like_text():
    assert not looks_like_text(b"\x89PNG\r\n\x1a\n\0\0")
