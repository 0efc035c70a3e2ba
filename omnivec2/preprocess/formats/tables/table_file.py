"""What kind of table a file is, told by its first bytes, and what is not read."""

from __future__ import annotations

import codecs
from collections.abc import Collection

from omnivec2.preprocess.formats.guards.archives import GZIP, ZIP
from omnivec2.preprocess.formats.guards.text_encoding import looks_like_text

PARQUET_TYPE = "application/vnd.apache.parquet"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
JSON_LINES_TYPE = "application/jsonl"
ZIP_TYPE = "application/zip"
GZIP_TYPE = "application/gzip"

MEDIA_TYPES = {
    "text/csv": "CSV",
    "application/csv": "CSV",
    "text/tab-separated-values": "CSV",
    "text/plain": "CSV",
    "application/vnd.ms-excel": "CSV",
    PARQUET_TYPE: "Parquet",
    "application/x-parquet": "Parquet",
    "application/parquet": "Parquet",
    "application/json": "JSON",
    JSON_LINES_TYPE: "JSON Lines",
    "application/x-ndjson": "JSON Lines",
    "application/jsonlines": "JSON Lines",
    XLSX_TYPE: "XLSX",
    GZIP_TYPE: "GZIP of one of these",
    "application/x-gzip": "GZIP of one of these",
    ZIP_TYPE: "ZIP of one of these",
    "application/x-zip-compressed": "ZIP of one of these",
}
"""Content types -> formats. Windows calls CSV an Excel file; plain text may be any of them."""

UNSPECIFIC_TYPES = frozenset({"text/plain", "application/vnd.ms-excel"})
"""Content types that do not tell the format; the content does."""

WORKBOOK = "xl/workbook.xml"
BINARY_WORKBOOK = "xl/workbook.bin"
"""The members by which an Excel workbook is told from other ZIP files."""

_PARQUET = b"PAR1"
_BINARY = ((_PARQUET, PARQUET_TYPE), (ZIP, ZIP_TYPE), (GZIP, GZIP_TYPE))
_MARKUP = "HTML or XML; export the table as CSV"
_UNSUPPORTED = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (XLS); save it as XLSX or CSV"),
    (b"ARROW1", "an Arrow or Feather file; write it as Parquet"),
    (b"ORC", "an ORC file; write it as Parquet"),
    (b"\x89HDF", "an HDF5 file; write it as Parquet or CSV"),
    (b"SQLite format 3", "a SQLite database; export the table as CSV"),
    (b"\x93NUMPY", "a NumPy file; write it as CSV or Parquet, with names"),
    (b"\x80\x04\x95", "a pickle, which could run code; write it as Parquet"),
    (b"\x80\x05\x95", "a pickle, which could run code; write it as Parquet"),
    (b"%PDF", "a PDF document; export the table as CSV"),
    (b"<!doctype", _MARKUP),
    (b"<html", _MARKUP),
    (b"<table", _MARKUP),
    (b"<?xml", _MARKUP),
    (b"\xfd7zXZ", "an XZ archive; use GZIP or ZIP"),
    (b"BZh", "a BZIP2 archive; use GZIP or ZIP"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive; use GZIP or ZIP"),
    (b"7z\xbc\xaf", "a 7z archive; use GZIP or ZIP"),
    (b"Rar!", "a RAR archive; use GZIP or ZIP"),
)


def binary_type(data: bytes) -> str | None:
    """Return the content type of a file that its first bytes tell for sure, or None."""
    return next((kind for magic, kind in _BINARY if data.startswith(magic)), None)


def table_type(data: bytes) -> str | None:
    """Detect the content type of a table: JSON by its first character, other text is CSV."""
    if (kind := binary_type(data)) is not None:
        return kind
    if unsupported(data) is not None or not looks_like_text(data):
        return None
    head = data[:1024]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.decode("utf-16", errors="ignore").encode()
    head = head.removeprefix(codecs.BOM_UTF8).lstrip()
    return "application/json" if head[:1] in (b"{", b"[") else "text/csv"


def unsupported(data: bytes) -> str | None:
    """Return what a file is that people take for a table and that is not read, or None."""
    start = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    return next(
        (what for magic, what in _UNSUPPORTED if start.lower().startswith(magic.lower())), None
    )


def is_workbook(members: Collection[str]) -> bool:
    """Whether the members of a ZIP file are those of an Excel workbook of any kind."""
    return WORKBOOK in members or BINARY_WORKBOOK in members


def may_unpack(data: bytes) -> bool:
    """Whether a file may hold far more than its bytes."""
    return binary_type(data) is not None
