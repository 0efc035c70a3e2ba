from __future__ import annotations

import gzip
import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess.formats.tables.table_options import TableOptions
from omnivec2.preprocess.imu import ImuParameters, ImuPreprocessor
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.preprocess.source_options import state
from omnivec2.preprocess.tabular import TabularParameters, TabularPreprocessor
from tests.support.sample_files.workbooks import workbook


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"PAR1xxxx", "application/vnd.apache.parquet"),
        (b'\xef\xbb\xbf {"a": [1]}', "application/json"),
        (b"[1, 2]", "application/json"),
        (b"a,b\n1,2\n", "text/csv"),
        (b"\x89PNG\r\n\x1a\n", None),
    ],
)
def test_content_types_are_detected_by_the_first_bytes(data, media_type):
    assert ImuPreprocessor(ImuParameters()).sniff(data) == media_type


@pytest.mark.parametrize("data", [b"", b" \n", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_table_are_undecodable(data):
    with pytest.raises(UndecodableError):
        ImuPreprocessor(ImuParameters()).decode(data)


def test_other_media_types_are_unsupported():
    with pytest.raises(UnsupportedMediaTypeError, match="CSV, Parquet, JSON"):
        ImuPreprocessor(ImuParameters()).decode(b"x", "image/png")


def tabular() -> TabularPreprocessor:
    columns = [{"name": "a", "kind": "number"}, {"name": "b", "kind": "number"}]
    return TabularPreprocessor(TabularParameters.model_validate({"columns": columns}))


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
        archive.writestr("__MACOSX/._" + name, b"x")
    return file.getvalue()


CSV = b"a,b\n1,2\n3,4\n"
JSON_LINES = b'{"a": 1, "b": 2}\n\n{"a": 3, "b": 4}\n'
XLSX = workbook({"S": [["a", "b"], [1.0, 2.0], [3.0, 4.0]]})
PARQUET = pa.BufferOutputStream()
parquet.write_table(pa.table({"a": [1, 3], "b": [2, 4]}), PARQUET)
FILES = {
    "CSV": (CSV, "text/csv"),
    "TSV": (CSV.replace(b",", b"\t"), "text/tab-separated-values"),
    "plain": (CSV, "text/plain"),
    "Windows": (CSV.replace(b"\n", b"\r\n"), "application/vnd.ms-excel"),
    "charset": (CSV.decode().encode("utf-16-le"), "text/csv; charset=UTF-16LE"),
    "JSON": (json.dumps({"a": [1, 3], "b": [2, 4]}).encode(), "application/json"),
    "JSON as text": (json.dumps([{"a": 1, "b": 2}, {"a": 3, "b": 4}]).encode(), "text/plain"),
    "JSON in UTF-16": (json.dumps({"a": [1, 3], "b": [2, 4]}).encode("utf-16"), "application/json"),
    "JSON Lines": (JSON_LINES, "application/x-ndjson"),
    "JSON Lines as JSON": (JSON_LINES, "application/json"),
    "XLSX": (XLSX, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "XLSX as Windows says": (XLSX, "application/vnd.ms-excel"),
    "XLSX as CSV": (XLSX, "text/csv"),
    "Parquet": (PARQUET.getvalue().to_pybytes(), "application/vnd.apache.parquet"),
    "GZIP": (gzip.compress(CSV), "application/gzip"),
    "GZIP as CSV": (gzip.compress(CSV), "text/csv"),
    "ZIP": (zipped("table.csv", CSV), "application/zip"),
    "ZIP of XLSX": (zipped("table.xlsx", XLSX), "application/zip"),
    "GZIP of Parquet": (gzip.compress(PARQUET.getvalue().to_pybytes()), "application/gzip"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("declared", [True, False])
def test_one_table_is_read_from_every_kind_of_file(name, declared):
    data, media_type = FILES[name]
    table = tabular().decode(data, media_type if declared or "charset" in media_type else None)
    samples = tabular().prepare(table).samples
    assert [sample["numbers"].tolist() for sample in samples] == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "text", [CSV.decode(), JSON_LINES.decode(), '[{"a": 1, "b": 2}]', "a;b\n1;2\n"]
)
def test_the_text_of_a_file_is_read_from_a_string_and_noted(text):
    with collect_notes() as notes:
        assert tabular().decode_json(text).frame.numbers("a")[0] == 1
    assert NoteCode.GUESSED in {note.code for note in notes}


def test_a_column_of_short_lines_is_no_base64():
    columns = [{"name": "v", "kind": "number"}]
    one = TabularPreprocessor(TabularParameters.model_validate({"columns": columns}))
    assert one.decode_json("v\n1\n2\n3\n").frame.rows == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xd0\xcf\x11\xe0" + bytes(600), "XLS"),
        (b"ARROW1\0\0", "Parquet"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"<html><table></table></html>", "HTML"),
        (b"%PDF-1.7", "PDF"),
        (b"\x80\x04\x95\0\0", "pickle"),
        (zipped("content.xml", b"<x/>"), "OpenDocument"),
    ],
)
def test_files_that_are_not_read_are_named_with_what_to_do(data, message):
    with pytest.raises(UnsupportedMediaTypeError, match=f"unsupported: .*{message}"):
        tabular().decode(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(gzip.compress(CSV)), "another archive"),
        (zipped("a.zip", zipped("b.csv", CSV)), "another archive"),
        (zipped("a.csv", CSV)[:-22] + b"", "ZIP"),
        (b'{"a": 1}\n{"a": }\n', "JSON Lines, line 2"),
        (b'{"a": 1,\n"b": }\n', "not JSON"),
    ],
    ids=["gzip twice", "ZIP in a ZIP", "truncated ZIP", "a line of JSON", "JSON"],
)
def test_damaged_files_say_where(data, message):
    with pytest.raises(InputError, match=message):
        tabular().decode(data)


def test_an_archive_of_several_files_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.csv", CSV)
        archive.writestr("b.csv", CSV)
    with pytest.raises(InvalidInputError, match="holds 2 files"):
        tabular().decode(file.getvalue())


def test_a_packed_file_is_held_to_the_limit_of_any_file():
    limits = tabular().limits.model_copy(update={"bytes": 1_000})
    small = TabularPreprocessor(tabular().parameters, limits)
    for data in (gzip.compress(CSV * 500), zipped("a.csv", CSV * 500)):
        with pytest.raises(TooLargeError):
            small.decode(data)


def test_packed_files_may_expand():
    for name in ("GZIP", "ZIP", "XLSX", "Parquet"):
        assert tabular().may_expand(FILES[name][0])
    assert not tabular().may_expand(CSV)


def test_rows_with_lists_that_nobody_reads_are_one_table():
    assert tabular().split([{"a": 1, "b": 2, "tags": []}, {"a": 1, "b": 2, "tags": ["x"]}]) is None
    assert tabular().split([{"a": [1], "b": [2]}]) == [{"a": [1], "b": [2]}]


def test_what_is_stated_of_a_table_is_used():
    with state(TableOptions(decimal=",", delimiter=";")):
        table = tabular().decode(b"a;b\n1,234;2\n", "text/csv")
        assert tabular().prepare(table).samples[0]["numbers"].tolist() == [np.float32(1.234), 2]
    with state(TableOptions(charset="utf-16-le")):
        assert tabular().decode(CSV.decode().encode("utf-16-le"), "text/csv").frame.rows == 2
