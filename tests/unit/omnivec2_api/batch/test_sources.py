from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2_api.batch.file_source import FileSource, find_files
from omnivec2_api.batch.find_source import LineSource, SourceOptions, find_source
from omnivec2_api.batch.items import Source
from omnivec2_api.batch.table_source import TableSource
from omnivec2_api.input_values import FileValue, JsonInputValue


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in ("b.jpg", "a/z.png", "a/b/c.jpeg", "notes.txt", ".hidden.jpg", ".git/x.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"data")
    return root


def find(modality: str, *inputs: object, stream: str = "", **options) -> Source:
    names = [str(value) for value in inputs]
    return find_source(modality, names, SourceOptions(**options), io.StringIO(stream))


def keys(source) -> list[dict]:
    return [dict(item.key) for item in source]


def values(source) -> list[object]:
    return [item.value for item in source]


def test_a_folder_is_its_files_with_sub_folders_and_relative_paths(photos: Path):
    source = find("image", photos)
    assert keys(source) == [{"path": "b.jpg"}, {"path": "a/z.png"}, {"path": "a/b/c.jpeg"}]
    assert values(source)[1] == photos / "a/z.png"
    assert len(source) == 3
    assert (source.skipped.count, source.skipped.examples) == (1, ("notes.txt",))


def test_a_pattern_chooses_files_of_a_folder(photos: Path):
    assert keys(find("image", photos, pattern="*.txt")) == [{"path": "notes.txt"}]


def test_a_glob_finds_files_at_any_depth(photos: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(photos)
    assert keys(find("image", "**/*.jp*g")) == [{"path": "a/b/c.jpeg"}, {"path": "b.jpg"}]


def test_files_that_are_named_are_taken_whatever_they_are(
    photos: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(photos)
    found = keys(find("image", "notes.txt", "a", "b.jpg", "b.jpg"))
    assert [key["path"] for key in found] == ["notes.txt", "a/z.png", "a/b/c.jpeg", "b.jpg"]


def test_nothing_to_read_is_an_error(photos: Path, tmp_path: Path):
    with pytest.raises(InvalidInputError, match="no such file or folder"):
        find_files("image", ["nowhere.jpg"])
    with pytest.raises(InvalidInputError, match="matches no file"):
        find_files("image", [f"{photos}/*.gif"])
    with pytest.raises(InvalidInputError, match="none of its 4 files is of a type that audio"):
        find_files("audio", [str(photos)])


def test_a_stamp_changes_with_the_file(photos: Path):
    before = next(iter(find("image", photos))).stamp
    (photos / "b.jpg").write_bytes(b"other data")
    assert next(iter(find("image", photos))).stamp != before


def test_rows_of_a_table_are_records(tmp_path: Path):
    path = tmp_path / "people.csv"
    path.write_text("age;workclass;id\n39;State-gov;a\n;Private;b\n")
    source = find("tabular", path, keep=("id",))
    assert keys(source) == [{"row": 0, "id": "a"}, {"row": 1, "id": "b"}]
    assert values(source)[1] == JsonInputValue({"age": None, "workclass": "Private", "id": "b"})
    assert len(source) == 2


def test_empty_rows_behind_the_last_value_are_no_inputs(tmp_path: Path):
    path = tmp_path / "people.csv"
    path.write_text("\ufeffAlter;Preis\r\n1;2,5\r\n;\r\n3;4\r\n;\r\n;\r\n", encoding="utf-8")
    source = find("tabular", path)
    assert [key["row"] for key in keys(source)] == [0, 1, 2]
    assert len(source) == 3


def test_a_table_in_another_encoding_says_what_to_do(tmp_path: Path):
    path = tmp_path / "people.csv"
    path.write_bytes("Größe;Preis\n1;2\n".encode("cp1252"))
    with pytest.raises(InvalidInputError, match="save the table as UTF-8"):
        find("tabular", path)


def test_a_column_of_texts_is_found_by_its_name(tmp_path: Path):
    path = tmp_path / "reviews.jsonl"
    path.write_text('{"text": "good"}\n\n{"text": "bad"}\n')
    assert values(find("text", path)) == [JsonInputValue("good"), JsonInputValue("bad")]


def test_a_column_of_paths_is_relative_to_the_table(tmp_path: Path):
    path = tmp_path / "metadata.csv"
    path.write_text("file_name,label\na.jpg,x\n")
    source = find("image", path, keep=("label",))
    assert keys(source) == [{"row": 0, "path": "a.jpg", "label": "x"}]
    assert values(source) == [tmp_path / "a.jpg"]


def test_a_column_that_is_named_is_taken(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("id,review\n1,good\n")
    assert values(find("text", path, column="review")) == [JsonInputValue("good")]
    with pytest.raises(InvalidInputError, match="no column 'body'; it has id, review"):
        find("text", path, column="body")
    path.write_text("id,x\n1,good\n")
    with pytest.raises(InvalidInputError, match="--column NAME"):
        find("text", path)


def test_texts_may_lie_in_files_that_a_table_names(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("doc\na.txt\n")
    assert values(find("text", path, column="doc", meaning="path")) == [tmp_path / "a.txt"]


def test_pairs_of_texts_are_two_columns(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("text,text_pair\na,b\n")
    assert values(find("text", path)) == [JsonInputValue({"text": "a", "text_pair": "b"})]


def test_files_inside_of_parquet_are_contents(tmp_path: Path):
    """As the data sets of Hugging Face have them."""
    path = tmp_path / "t.parquet"
    pictures = [{"bytes": b"one", "path": "a.jpg"}, {"bytes": b"two", "path": "b.jpg"}]
    pyarrow.parquet.write_table(pyarrow.table({"image": pictures}), path)
    source = find("image", path)
    assert values(source) == [FileValue(b"one"), FileValue(b"two")]
    assert keys(source)[1] == {"row": 1, "path": "b.jpg"}
    assert len({item.stamp for item in source}) == 2


def test_a_table_that_is_itself_an_input_is_one(tmp_path: Path):
    path = tmp_path / "series.csv"
    path.write_text("time,value\n1,2\n")
    source = find("timeseries", path)
    assert isinstance(source, FileSource)
    assert len(source) == 1
    with pytest.raises(InvalidInputError, match="--column and --keep"):
        find("image", tmp_path, column="x")


def test_lines_are_paths_or_texts_by_modality():
    files = find("image", "-", stream="a.jpg\n\nb.jpg\r\n")
    assert keys(files) == [{"path": "a.jpg"}, {"path": "b.jpg"}]
    lines = find("text", "-", stream="good\nbad\n")
    assert isinstance(lines, LineSource)
    assert keys(lines) == [{"row": 0}, {"row": 1}]
    assert values(lines)[1] == JsonInputValue("bad")
    paths = find("text", "-", stream="a.txt\n", meaning="path")
    assert values(paths) == [Path("a.txt")]
    with pytest.raises(InvalidInputError, match="no lines"):
        find("text", "-")
    with pytest.raises(InvalidInputError, match="stands alone"):
        find("image", "-", "a.jpg", stream="x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", "no rows"),
        ("t.csv", "text\na,b\n", "row 2 has more cells"),
        ("t.jsonl", '{"text": \n', "line 1 is not JSON"),
        ("t.parquet", "rubbish", "not a Parquet file"),
    ],
)
def test_a_table_that_cannot_be_read_says_where(
    tmp_path: Path, name: str, content: str, message: str
):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        find("text", path)


def test_a_line_that_is_no_object_is_the_input(tmp_path: Path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps("CCO") + "\n")
    source = find("graph", path)
    assert isinstance(source, TableSource)
    assert values(source) == [JsonInputValue("CCO")]
