"""Documents that are no plain text."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.text import TextParameters, TextPreprocessor

SINGLE = TextPreprocessor(TextParameters())
PAIR = TextPreprocessor(TextParameters(pair=True))


def docx() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("word/document.xml", "<w:document/>")
    return made.getvalue()


@pytest.mark.parametrize("reader", [SINGLE, PAIR])
@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n", "a PDF"),
        (b"{\\rtf1 a good film}", "an RTF document"),
        (docx(), "DOCX"),
        (gzip.compress(b"a good film", mtime=0), "gzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "an old Office document"),
    ],
)
def test_a_document_is_refused_by_its_name(
    reader: TextPreprocessor, data: bytes, name: str
) -> None:
    with pytest.raises(UndecodableError, match=f"the file is .*{name}.*send the text"):
        reader.decode(data)


def test_a_text_about_documents_is_one() -> None:
    assert SINGLE.decode(b"A %PDF-1.4 file is no film.") == "A %PDF-1.4 file is no film."
