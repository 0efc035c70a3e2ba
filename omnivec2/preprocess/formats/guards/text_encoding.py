"""Text of files in the encodings that people's tools write, with this project's errors."""

from __future__ import annotations

import codecs

from omnivec2.errors import UndecodableError, UnsupportedMediaTypeError
from omnivec2.preprocess.formats.guards.json_text import decode_utf8
from omnivec2.preprocess.notes import NoteCode, note

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks -> the codec that reads and drops them."""

_CHARSETS = frozenset(
    """
    ascii big5 cp437 cp850 cp852 cp866 cp932 cp949 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255
    cp1256 cp1257 cp1258 euc_jp euc_kr gb18030 gb2312 gbk iso2022_jp iso8859-1 iso8859-2
    iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-9 iso8859-10
    iso8859-13 iso8859-14 iso8859-15 iso8859-16 koi8-r koi8-u mac-roman shift_jis tis-620
    utf-8 utf-8-sig utf-16 utf-16-be utf-16-le utf-32 utf-32-be utf-32-le
    """.split()  # noqa: SIM905 (a line each would fill the page)
)
"""Python's names of the encodings of text; its other codecs are no encodings, or slow."""

_WINDOWS = "cp1252"
"""What browsers read where a page states Latin-1 or ASCII: it has all their characters."""

_CONTROLS = {code: None for code in range(32) if chr(code) not in "\t\n\v\f\r\x1b"}
_UTF16_SAMPLE = 256


def decode_text(data: bytes, charset: str | None = None) -> str:
    """Decode the bytes of a text file.

    A byte order mark comes first, then the stated encoding, then UTF-8. Bytes that are none of
    these are read as Windows-1252, which is noted.

    Args:
        data: The file.
        charset: The encoding that the caller states, by any of its usual names.

    Raises:
        UnsupportedMediaTypeError: the stated encoding is not known.
        UndecodableError: the bytes are not in the stated encoding, or are no text.
    """
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return _checked(data, codec)
    if charset is not None:
        return _checked(data, _codec(charset))
    if (wide := _unmarked_utf16(data)) is not None:
        return _checked(data, wide)
    try:
        return decode_utf8(data)
    except UndecodableError:
        if not looks_like_text(data):
            raise
    text = _checked(data, _WINDOWS)
    note(
        NoteCode.GUESSED,
        "the text is not UTF-8 and was read as Windows-1252 (Latin-1); save it as UTF-8, or state "
        "its encoding: Content-Type: text/csv; charset=...",
    )
    return text


def looks_like_text(data: bytes) -> bool:
    """Whether bytes can be text in some encoding: no control characters, or UTF-16 or UTF-32."""
    if any(data.startswith(mark) for mark, _ in _MARKS) or _unmarked_utf16(data) is not None:
        return True
    try:
        _checked(data, "latin-1")
    except UndecodableError:
        return False
    return True


def _codec(charset: str) -> str:
    try:
        name = codecs.lookup(charset.strip().strip("'\"")).name
    except (LookupError, ValueError):
        name = ""
    if name not in _CHARSETS:
        raise UnsupportedMediaTypeError(
            f"the charset {charset[:40]!r} is not known; expected UTF-8 or another encoding of "
            "text, such as UTF-16, ISO-8859-1 or Windows-1252",
            field="Content-Type",
        )
    return _WINDOWS if name in ("iso8859-1", "ascii") else name


def _checked(data: bytes, codec: str) -> str:
    try:
        text = data.decode(codec)
    except UnicodeDecodeError as error:
        if codec == _WINDOWS:
            # Five bytes have no character there; Latin-1 has one for all.
            return _checked(data, "latin-1")
        raise UndecodableError(
            f"not text in the encoding {codec.removesuffix('-sig').upper()}: "
            f"byte {error.start} cannot be decoded",
            field="inputs",
        ) from error
    if len(text.translate(_CONTROLS)) != len(text):
        raise UndecodableError("not text: it holds control characters", field="inputs")
    return text.removeprefix("\ufeff")


def _unmarked_utf16(data: bytes) -> str | None:
    """Return the codec of UTF-16 without a mark: every other byte of Latin letters is zero."""
    sample = data[:_UTF16_SAMPLE]
    half = len(sample) // 2
    if len(data) % 2 or half < 4:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > 0.7 * half and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * half and odd == 0 else None
