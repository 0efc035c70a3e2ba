"""Documents that hold text, and are none: their bytes would be read as nonsense words."""

from __future__ import annotations

from omnivec2.errors import UndecodableError

_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF"),
    (b"{\\rtf", "an RTF document"),
    (b"PK\x03\x04", "a ZIP archive, as DOCX, ODT and EPUB files are"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (b"\x1f\x8b", "a gzip file"),
)
"""The first bytes of files, and what they are."""


def refuse_document(data: bytes) -> None:
    """Refuse a file of a kind that is no plain text, by its name.

    Raises:
        UndecodableError: It is one.
    """
    for start, name in _KINDS:
        if data.startswith(start):
            raise UndecodableError(
                f"unsupported: the file is {name}, not plain text; send the text that is in it, in"
                " UTF-8",
                field="inputs",
            )
