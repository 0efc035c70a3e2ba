"""Data in the forms that spreadsheets, recorders and hubs write."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.support.data_sets.tool_forms import SMALL, check, faults, picture, png, warnings
from tests.support.sample_files.workbooks import workbook


@pytest.mark.parametrize(
    "spell",
    [";".join, "; ".join, "|".join, ", ".join, json.dumps, str],
    ids=["semicolon", "spaced", "bar", "comma", "json", "python"],
)
def test_tags_in_one_cell_are_told_apart_however_they_are_spelled(
    tmp_path: Path, spell: Any
) -> None:
    tags = [[], ["sea"], ["snow"], ["sea", "snow"]]
    rows = [f'text {n},"{spell(tags[n % 4]).replace(chr(34), chr(34) * 2)}"\n' for n in range(40)]
    (tmp_path / "tags.csv").write_text("text,tags\n" + "".join(rows))
    block = {"kind": "csv", "path": "tags.csv", "input": "text", "label": "tags", "target": "tags"}
    found = check(tmp_path, "text/tags", block)
    assert faults(found) == []
    assert {name: sum(counts.values()) for name, counts in found.classes.items()} == {
        "sea": 20,
        "snow": 20,
    }


def test_an_object_is_no_class(tmp_path: Path) -> None:
    rows = []
    for number in range(10):
        picture(tmp_path / "set" / f"{number}.png", number)
        rows.append({"file_name": f"{number}.png", "objects": {"bbox": [[1, 1, 5, 5]]}})
    (tmp_path / "set" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = check(tmp_path, "image/x", {"kind": "imagefolder", "path": "set"}, preprocess=SMALL)
    assert "set/metadata.jsonl, line 1: expected one class" in faults(found)[0]
    assert "got an object" in faults(found)[0]


TABLE = "Größe;Preis €;Sorte\r\n" + "".join(
    f"{n},5;{n};{'süß' if n % 2 else 'herb'}\r\n" for n in range(40)
)
SORTS = {"kind": "csv", "path": "t.csv", "label": "Sorte"}


def test_a_table_in_another_encoding_says_how_to_state_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(TABLE.encode("cp1252"))
    refused = check(tmp_path, "tabular/sorts", SORTS)
    assert "t.csv: line 1 is not UTF-8" in faults(refused)[0]
    assert "`encoding: cp1252`" in faults(refused)[0]
    found = check(tmp_path, "tabular/sorts", {**SORTS, "encoding": "cp1252"})
    assert faults(found) == []
    assert set(found.classes) == {"herb", "süß"}
    assert found.inputs == ("Größe (number)", "Preis € (number)")


def test_a_column_of_numbers_with_an_odd_cell_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        TABLE.replace("\r\n", "\r\n7,5;cheap;herb\r\n"), encoding="utf-8"
    )
    found = check(tmp_path, "tabular/sorts", SORTS)
    numbers, odd = found.inputs
    assert numbers == "Größe (number)"
    assert re.fullmatch(
        r"Preis € \(category: \d+ of its \d+ values are numbers, 'cheap' is none\)", odd
    )


def test_a_workbook_is_a_table(tmp_path: Path) -> None:
    rows = [["age", "kind"], *([float(n), "ab"[n % 2]] for n in range(40))]
    (tmp_path / "t.xlsx").write_bytes(workbook({"Sheet": rows}))
    found = check(tmp_path, "tabular/x", {"kind": "csv", "path": "t.xlsx", "label": "kind"})
    assert faults(found) == []
    assert found.inputs == ("age (number)",)


def test_columns_of_the_same_name_are_named_instead_of_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "a,a,y\n" + "".join(f"{n},{2 * n},{n % 2}\n" for n in range(40))
    )
    found = check(tmp_path, "tabular/x", {"kind": "csv", "path": "t.csv", "label": "y"})
    assert "t.csv: several columns are named a" in faults(found)[0]


def test_what_the_reader_of_a_table_left_out_is_told(tmp_path: Path) -> None:
    rows = "".join(f"{n};{n % 2}\n" for n in range(40))
    (tmp_path / "t.csv").write_text(f"a;y\n{rows};\n;\n")
    found = check(tmp_path, "tabular/x", {"kind": "csv", "path": "t.csv", "label": "y"})
    assert faults(found) == []
    assert any("empty rows" in text for text in found.notes)


def test_a_list_of_json_objects_is_read_like_lines(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": "ab"[n % 2]} for n in range(40)]
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=1))
    found = check(tmp_path, "text/x", {"kind": "jsonl", "path": "rows.json"})
    assert faults(found) == []
    assert sum(found.counts.values()) == 40


def test_ids_without_endings_find_their_files(tmp_path: Path) -> None:
    for number in range(20):
        picture(tmp_path / "train" / f"{number:04x}.jpg", number)
    lines = [f"{n:04x},{'ab'[n % 2]}" for n in range(20)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,breed", *lines]))
    block = {
        "kind": "csv", "path": "labels.csv", "input": "id", "label": "breed", "folder": "train"
    }  # fmt: skip
    found = check(tmp_path, "image/dogs", block, preprocess=SMALL)
    assert faults(found) == []
    assert sum(found.counts.values()) == 20


def test_a_folder_beside_those_of_parts_does_not_make_them_classes(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "test")):
        for name in ("cat", "dog"):
            for index in range(6):
                shade = 100 * number + 10 * index + len(name + part)
                picture(tmp_path / "pets" / part / name / f"{index}.png", shade)
    picture(tmp_path / "pets" / "unlabelled" / "1.png")
    (tmp_path / "pets" / "__MACOSX" / "train").mkdir(parents=True)
    found = check(tmp_path, "image/pets", {"kind": "imagefolder", "path": "pets"}, preprocess=SMALL)
    assert set(found.classes) == {"cat", "dog"}
    assert "pets/unlabelled: the folder is none of a part" in warnings(found)
    assert "__MACOSX" not in warnings(found)


def test_series_in_files_of_their_own_are_read_from_folders_of_classes(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / "runs" / ("slow", "fast")[number % 2] / f"{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.sin(np.arange(60) * (number % 2 + 1) / 5)
        path.write_text("x\n" + "\n".join(f"{value + number:.4f}" for value in values))
    found = check(tmp_path, "timeseries/gait", {"kind": "folder", "path": "runs"})
    assert faults(found) == []
    assert set(found.classes) == {"slow", "fast"}


@pytest.mark.parametrize(("suffix", "mark"), [("tsv", "\t"), ("txt", "  "), ("csv", ",")])
def test_a_series_per_row_without_header_has_its_class_in_a_numbered_column(
    tmp_path: Path, suffix: str, mark: str
) -> None:
    for part, count in (("TRAIN", 20), ("TEST", 10)):
        rows = [
            mark.join(
                [f"{1 + n % 2:.7e}" if suffix == "txt" else str(1 + n % 2)]
                + [f"{np.sin(step / (2 + n % 2)) + n:.4f}" for step in range(40)]
            )
            for n in range(count)
        ]
        (tmp_path / f"G_{part}.{suffix}").write_text("\n".join(rows) + "\n")
    path = {"train": f"G_TRAIN.{suffix}", "test": f"G_TEST.{suffix}"}
    found = check(tmp_path, "timeseries/g", {"kind": "series", "path": path, "label": 0})
    assert faults(found) == []
    assert set(found.classes) == {"1", "2"}
    assert found.counts["test"] == 10


def test_a_forecast_shows_the_series_that_it_reads(tmp_path: Path) -> None:
    rows = [f"{shop},2024-01-{day:02},{day % 7 + shop},{day % 2}" for shop in (1, 2)
            for day in range(1, 31)]  # fmt: skip
    (tmp_path / "long.csv").write_text("\n".join(["shop,day,sold,promo", *rows]))
    block = {"kind": "series", "path": "long.csv", "id": "shop", "context": 16, "horizon": 2}
    found = check(tmp_path, "timeseries/x", block)
    assert found.inputs == ("1/sold", "1/promo", "2/sold", "2/promo")


def test_scans_of_kitti_take_their_labels_from_files_beside_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("velodyne", "labels"):
        (tmp_path / folder).mkdir()
    for number in range(10):
        points = rng.normal(size=(200, 4)).astype("<f4")
        points.tofile(tmp_path / "velodyne" / f"{number:06}.bin")
        labels = np.where(points[:, 2] > 0, 40, 10).astype("<u4") | (7 << 16)
        labels.tofile(tmp_path / "labels" / f"{number:06}.label")
    block = {"kind": "points", "path": "velodyne", "labels": "labels"}
    settings = {"points": 128, "groups": 16, "neighbours": 8}
    found = check(tmp_path, "pointcloud/street", block, preprocess=settings)
    assert faults(found) == []
    assert set(found.classes) == {"10", "40"}


def shard(path: Path, count: int, *, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            entries = {
                "json": json.dumps({"name": ("red", "blue")[number % 2]}).encode(),
                "png": png(shade + number),
                "txt": f"class{number % 2}".encode(),
            }
            for ending, data in entries.items():
                member = tarfile.TarInfo(f"./{number:04}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize(
    ("label", "classes"), [("json.name", {"red", "blue"}), ("txt", {"class0", "class1"})]
)
def test_shards_name_their_part_and_hold_classes_in_any_entry(
    tmp_path: Path, label: str, classes: set[str]
) -> None:
    shard(tmp_path / "set-train-000000.tar", 12, shade=0)
    shard(tmp_path / "set-train-000001.tar", 12, shade=50)
    shard(tmp_path / "set-val-000000.tar", 8, shade=120)
    block = {"kind": "webdataset", "path": ".", "label": label}
    found = check(tmp_path, "image/x", block, preprocess=SMALL)
    assert faults(found) == []
    assert set(found.classes) == classes
    assert found.counts["val"] == 8


def test_shards_without_the_entry_of_the_class_name_those_that_are_there(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", 2, shade=0)
    found = check(tmp_path, "image/x", {"kind": "webdataset", "path": "."}, preprocess=SMALL)
    assert "its entries are json, png, txt: name that of the class in `label`" in faults(found)[0]
    (tmp_path / "a.tar").rename(tmp_path / "a.tar.gz")
    found = check(tmp_path, "image/x", {"kind": "webdataset", "path": "."}, preprocess=SMALL)
    assert "the shards are compressed" in faults(found)[0]


@pytest.mark.parametrize("kind", ["datasets", "parquet"])
def test_names_of_classes_are_those_that_parquet_keeps_for_datasets(
    tmp_path: Path, kind: str
) -> None:
    features = {"label": {"_type": "ClassLabel", "names": ["red", "blue"]}}
    cells = [{"bytes": png(n), "path": None} for n in range(40)]
    table = pa.table({"image": cells, "label": [n % 2 for n in range(40)]})
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    file = tmp_path / "data" / "train-00000-of-00001.parquet"
    file.parent.mkdir()
    parquet.write_table(table.replace_schema_metadata(metadata), file)
    path = "." if kind == "datasets" else "data/*.parquet"
    found = check(tmp_path, "image/x", {"kind": kind, "path": path}, preprocess=SMALL)
    assert faults(found) == []
    assert set(found.classes) == {"red", "blue"}
