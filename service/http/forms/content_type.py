"""The content type of a body: its media type, and the encoding of its text."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from omnivec2.errors import UndecodableError, UnsupportedMediaTypeError
from omnivec2.preprocess.notes import NoteCode, note

JSON = "application/json"
PLAIN = "text/plain"
MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
JSON_LINES = frozenset(
    f"application/{name}"
    for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines", "json-seq")
)

UNSPECIFIC = frozenset(
    {"", "*/*", "application/binary", "application/force-download", "application/octet-stream"}
    | {"application/unknown", "application/x-binary", "application/x-download"}
    | {"binary/octet-stream", "content/unknown", "unknown/unknown", URLENCODED}
)
"""Types that do not identify the content: curl sends the last one for --data-binary."""

# Texts that are no text/… types.
_TEXTS = frozenset({JSON, "application/csv", "application/xml", "application/x-ndjson"})
_JSON_TYPES = frozenset(
    {"text/json", "text/x-json", "application/x-json", "application/javascript"}
)
_UTF8 = ("utf-8", "utf_8", "utf-8-sig", "ascii")
_BROWSERS_LATIN = "cp1252"
_MOST_SHOWN = 80


@dataclass(frozen=True)
class ContentType:
    """A content type as a request declares it.

    Attributes:
        media_type: The type without its parameters, in lower case; empty if there is none.
        charset: The declared encoding of the text; empty if there is none.
    """

    media_type: str
    charset: str = ""

    @classmethod
    def parse(cls, value: str) -> ContentType:
        """Return the content type in a header."""
        media_type, *parameters = value.split(";")
        charset = ""
        for parameter in parameters:
            name, _, given = parameter.partition("=")
            if name.strip().lower() == "charset":
                charset = given.strip().strip("\"'").lower()
        return cls(media_type.strip().lower(), charset)

    @property
    def is_json(self) -> bool:
        """Whether the body is a JSON document."""
        return (
            self.media_type == JSON
            or self.media_type in _JSON_TYPES
            or (self.media_type.startswith("application/") and self.media_type.endswith("+json"))
        )

    @property
    def is_text(self) -> bool:
        """Whether the body is text, so that its charset means something."""
        kind = self.media_type
        return (
            kind.startswith(("text/", "chemical/"))
            or kind in _TEXTS
            or kind in JSON_LINES
            or self.is_json
        )

    def as_utf8(self, data: bytes) -> bytes:
        """Return a body in UTF-8, whatever its charset is.

        Raises:
            UnsupportedMediaTypeError: The charset is not known.
            UndecodableError: The body is not in its charset.
        """
        if not self.charset or not self.is_text or self.charset in ("binary", "utf-8", "utf8"):
            return data
        codec = _codec(self.charset)
        if codec in _UTF8 or data.startswith(codecs.BOM_UTF8):
            return data
        if codec == "iso8859-1" and any(0x80 <= byte < 0xA0 for byte in data):
            # As browsers do: these bytes are signs of Windows-1252, and controls in Latin-1.
            note(NoteCode.GUESSED, f"charset={self.charset} was read as windows-1252")
            codec = _BROWSERS_LATIN
        try:
            return data.decode(codec).encode()
        except UnicodeError as error:
            raise UndecodableError(
                f"the body is not text in the encoding that Content-Type declares "
                f"(charset={self.charset[:_MOST_SHOWN]})",
                field="body",
            ) from error


def _codec(charset: str) -> str:
    """Return Python's name of an encoding of text."""
    try:
        found = codecs.lookup(charset)
        # Some of Python's codecs are no encodings of text, such as zip.
        "".encode(charset)
    except (LookupError, ValueError) as error:
        raise UnsupportedMediaTypeError(
            f"the charset {charset[:_MOST_SHOWN]!r} is not known; send UTF-8, or name an encoding "
            "such as iso-8859-1, windows-1252, utf-16, shift_jis",
            field="Content-Type",
            known=("utf-8",),
        ) from error
    return found.name
