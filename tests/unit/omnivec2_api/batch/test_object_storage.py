"""Inputs and tables in buckets; pyarrow's file system of this machine stands for S3."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from pyarrow import fs

from omnivec2.errors import InvalidInputError, InvalidParameterError, OmniVecError
from omnivec2_api.batch import batch_run, object_paths
from omnivec2_api.batch.batch_run import BatchOptions, run_batch
from omnivec2_api.batch.find_source import SourceOptions, find_source
from omnivec2_api.batch.items import Source
from omnivec2_api.batch.object_paths import ObjectPath, read_ahead
from omnivec2_api.input_values import FileValue, read_input
from tests.support.model_repositories.tiny_models import tiny_heads
from tests.support.service_parts.scripted_predictor import ScriptedPredictor

QUIET = BatchOptions(progress=False)


class Buckets:
    """A file system that makes folders as they are needed, as if there were none."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = fs.SubTreeFileSystem(str(root), fs.LocalFileSystem())

    def __getattr__(self, name: str):
        return getattr(self._files, name)

    def open_output_stream(self, place: str):
        (self._root / place).parent.mkdir(parents=True, exist_ok=True)
        return self._files.open_output_stream(place)


class BrokenBuckets(Buckets):
    """Its connection is lost in the middle of what is not a part."""

    def open_output_stream(self, place: str):
        stream = super().open_output_stream(place)
        return stream if "parts" in place else BrokenStream(stream)


class BrokenStream:
    def __init__(self, stream) -> None:
        self._stream = stream
        self.closed = False

    def write(self, data: bytes) -> None:
        self._stream.write(data[:5])
        raise OSError("the connection is lost")

    def close(self) -> None:
        self.closed = True
        self._stream.close()


@pytest.fixture(autouse=True)
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that stands for ``s3://bucket``."""
    files = Buckets(tmp_path)
    monkeypatch.setattr(object_paths, "open_bucket", lambda bucket, options: files)
    root = tmp_path / "bucket"
    for name in ("photos/b.jpg", "photos/a/z.png", "photos/notes.txt", "photos/.hid/x.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def find(modality: str, *inputs: str, stream: str = "", **options) -> Source:
    return find_source(modality, inputs, SourceOptions(**options), io.StringIO(stream))


def paths(source: Source) -> list[object]:
    return [item.key["path"] for item in source]


def test_a_prefix_is_its_objects_with_relative_names():
    source = find("image", "s3://bucket/photos/")
    assert paths(source) == ["a/z.png", "b.jpg"]
    assert [item.value.read() for item in source] == [b"photos/a/z.png", b"photos/b.jpg"]
    assert (source.skipped.count, source.skipped.examples) == (1, ("notes.txt",))


def test_a_pattern_and_an_address_name_objects_in_full():
    assert paths(find("image", "s3://bucket/photos/*.png")) == ["s3://bucket/photos/a/z.png"]
    assert paths(find("image", "s3://bucket/photos/notes.txt")) == ["s3://bucket/photos/notes.txt"]


def test_a_list_may_name_objects_and_files(tmp_path: Path):
    source = find("image", "-", stream="s3://bucket/photos/b.jpg\nhere.jpg\n")
    first, second = [item.value for item in source]
    assert first.read() == b"photos/b.jpg"
    assert second == Path("here.jpg")


def test_an_object_that_changes_has_another_stamp(bucket: Path):
    before = [item.stamp for item in find("image", "s3://bucket/photos/")]
    (bucket / "photos/b.jpg").write_bytes(b"another picture")
    after = [item.stamp for item in find("image", "s3://bucket/photos/")]
    assert [one == two for one, two in zip(before, after, strict=True)] == [True, False]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (("s3://bucket/nothing/",), "nothing"),
        (("s3://bucket/photos/*.gif",), "matches no object"),
        (("s3://bucket/photos/", "here.jpg"), "not both"),
        (("s3:///photos",), "s3://BUCKET/KEY"),
    ],
)
def test_inputs_that_are_not_there_are_refused(inputs: tuple[str, ...], message: str):
    with pytest.raises(InvalidInputError, match=message):
        find("image", *inputs)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_tables_are_read_from_buckets(bucket: Path, suffix: str):
    rows = [{"text": "first, with a comma"}, {"text": "zwei"}]
    table = bucket / f"texts{suffix}"
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), table)
    elif suffix == ".csv":
        table.write_text('\ufefftext\n"first, with a comma"\nzwei\n', "utf-8")
    else:
        table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    source = find("text", f"s3://bucket/texts{suffix}")
    assert [item.value.value for item in source] == ["first, with a comma", "zwei"]


def test_paths_in_a_table_are_relative_to_it(bucket: Path):
    (bucket / "list.csv").write_text("path\nphotos/b.jpg\ns3://bucket/photos/a/z.png\n")
    read = [item.value.read() for item in find("image", "s3://bucket/list.csv")]
    assert read == [b"photos/b.jpg", b"photos/a/z.png"]


def test_objects_are_read_in_their_order_with_their_media_types(bucket: Path):
    names = [f"{number}.jpg" for number in range(50)]
    for name in names:
        (bucket / name).write_bytes(name.encode())
    values = iter([ObjectPath("bucket", name) for name in [*names, "gone.jpg"]])
    *read, gone = list(read_ahead(values))
    assert [read_input("image", value) for value in read] == [
        FileValue(name.encode(), "image/jpeg") for name in names
    ]
    with pytest.raises(InvalidInputError, match=r"s3://bucket/gone.jpg"):
        read_input("image", gone)


def label(head, value):
    return [[{"label": read_input("image", value).data.decode(), "score": 1.0}]]


def run(out: str, script=label) -> batch_run.BatchSummary:
    predictor = ScriptedPredictor(script, *tiny_heads())
    source = find("image", "s3://bucket/photos/")
    return run_batch(predictor, ["image/classification"], source, out, QUIET)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_is_written_to_a_bucket_as_to_a_file(bucket: Path, tmp_path: Path, suffix: str):
    run(f"s3://bucket/tables/out{suffix}")
    run(str(tmp_path / f"out{suffix}"))
    written = bucket / "tables" / f"out{suffix}"
    assert written.read_bytes() == (tmp_path / f"out{suffix}").read_bytes()
    assert list(written.parent.iterdir()) == [written]


def test_a_killed_run_goes_on_from_the_parts_in_the_bucket(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batch_run, "PART_INPUTS", 1)
    for number in range(6):
        (bucket / f"photos/c{number}.jpg").write_bytes(b"picture")

    def dies(head, value):
        if value.name == "c5.jpg":
            raise KeyboardInterrupt
        return label(head, value)

    with pytest.raises(KeyboardInterrupt):
        run("s3://bucket/out.jsonl", dies)
    assert not (bucket / "out.jsonl").exists()
    summary = run("s3://bucket/out.jsonl")
    assert summary.inputs == 8
    assert summary.resumed == 5


def test_a_table_that_is_in_the_bucket_is_kept(bucket: Path):
    (bucket / "out.csv").write_text("mine")
    with pytest.raises(InvalidParameterError, match="--overwrite"):
        run("s3://bucket/out.csv")
    assert (bucket / "out.csv").read_text() == "mine"


def test_a_table_whose_upload_fails_is_not_left_in_half(
    bucket: Path, monkeypatch: pytest.MonkeyPatch
):
    files = BrokenBuckets(bucket.parent)
    monkeypatch.setattr(object_paths, "open_bucket", lambda bucket, options: files)
    with pytest.raises(OmniVecError, match="connection is lost"):
        run_batch(
            ScriptedPredictor(label, *tiny_heads()),
            ["image/classification"],
            find("image", "s3://bucket/photos/"),
            "s3://bucket/out.csv",
            QUIET,
        )
    assert not (bucket / "out.csv").exists()
    assert list((bucket / "out.csv.parts").iterdir())
