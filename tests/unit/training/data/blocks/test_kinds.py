from __future__ import annotations

import gzip
import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from rdkit import Chem

from omnivec2.errors import ArtifactError
from omnivec2.spec import TaskFamily
from omnivec2.training.data import load_task
from omnivec2.training.data.base import TargetForm
from omnivec2.training.data.blocks.task_block import TaskBlock
from tests.support.data_sets.broken_data import pictures, table


def load(root, route, data, **settings):
    block = TaskBlock(data=data, **settings)
    return load_task(route, root, cache=root / "cache", block=block)


def sizes(task):
    return {part: len(split) for part, split in task.splits.items()}


def png(shade: int) -> bytes:
    file = io.BytesIO()
    pixels = np.full((12, 16, 3), shade, np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


SMALL = {"height": 32, "width": 32}


def test_a_folder_of_pictures_per_class(tmp_path):
    pictures(tmp_path / "pets", ("dog", "cat"), 20)
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("not a picture")
    (tmp_path / "pets" / ".DS_Store").write_bytes(b"x")
    task = load(tmp_path, "image/pets", {"kind": "imagefolder", "path": "pets"}, preprocess=SMALL)
    assert task.labels == ("cat", "dog")
    assert sizes(task) == {"train": 32, "val": 4, "test": 4}
    assert task.splits["train"].samples[0]["pixels"].shape == (32, 32, 3)
    assert task.augment is not None
    assert task.metric == "accuracy"


def test_folders_of_parts_hold_folders_of_classes(tmp_path):
    for part, count in (("train", 6), ("valid", 2), ("test", 3)):
        pictures(tmp_path / "pets" / part, count=count)
    task = load(tmp_path, "image/pets", {"kind": "imagefolder", "path": "pets"}, preprocess=SMALL)
    assert sizes(task) == {"train": 12, "val": 4, "test": 6}
    assert task.labels == ("cat", "dog")


def test_parts_may_be_named_one_by_one(tmp_path):
    for place, count in (("a", 6), ("b/c", 2), ("d", 3)):
        pictures(tmp_path / place, count=count)
    path = {"train": "a", "val": "b/c", "test": "d"}
    task = load(tmp_path, "image/pets", {"kind": "imagefolder", "path": path}, preprocess=SMALL)
    assert sizes(task) == {"train": 12, "val": 4, "test": 6}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_metadata_names_files_and_labels_as_in_hugging_faces_imagefolder(tmp_path, form):
    pictures(tmp_path / "pets", count=10)
    rows = [
        {"file_name": f"{name}/{number:02}.png", "age": number + 20 * (name == "dog")}
        for name in ("cat", "dog")
        for number in range(10)
    ]
    if form == "jsonl":
        text = "\n".join(map(json.dumps, rows))
    else:
        text = "\n".join(["file_name,age", *(f"{r['file_name']},{r['age']}" for r in rows)])
    (tmp_path / "pets" / f"metadata.{form}").write_text(text)
    data = {
        "kind": "imagefolder",
        "path": "pets",
        "target": {"kind": "numbers", "units": {"age": "a"}},
    }
    task = load(tmp_path, "image/age", data, preprocess=SMALL)
    assert task.family is TaskFamily.REGRESSION
    assert [(t.name, t.unit) for t in task.targets] == [("age", "a")]
    ages = [v for split in task.splits.values() for v in np.ravel(split.targets)]
    assert sorted(ages) == [*range(10), *range(20, 30)]


def test_names_of_files_can_say_more(tmp_path):
    folder = tmp_path / "sounds" / "rain"
    pictures(tmp_path / "clips", count=12)
    del folder
    data = {
        "kind": "imagefolder",
        "path": "clips",
        "name_pattern": r"(?P<tens>[0-9])[0-9]\.png$",
        "split": {"by": "given", "column": "tens", "parts": {"train": 0, "test": 1}},
    }
    task = load(tmp_path, "image/clips", data, preprocess=SMALL)
    assert sizes(task) == {"train": 18, "val": 2, "test": 4}


def test_a_table_of_numbers_and_categories_is_described_by_its_training_part(tmp_path):
    lines = [f"{n},{'xyz'[n % 3]},{'?' if n == 4 else n % 2},{'01' if n % 2 else '02'}"
             for n in range(40)]  # fmt: skip
    (tmp_path / "rows.csv").write_text("\n".join(["size,kind,code,label", *lines]))
    data = {"kind": "csv", "path": "rows.csv", "categories": "code", "missing": "?"}
    task = load(tmp_path, "tabular/rows", data)
    assert task.labels == ("01", "02")
    size, kind, code = task.preprocess.parameters["columns"]
    train = task.splits["train"].samples
    assert size["kind"] == "number"
    numbers = [float(sample["numbers"][0]) for sample in train]
    assert size["mean"] == pytest.approx(np.mean(numbers))
    assert size["std"] == pytest.approx(np.std(numbers))
    assert kind["categories"] == ["x", "y", "z"]
    assert code["categories"] == ["0", "1"]


def test_a_table_may_have_no_header_line_and_any_delimiter(tmp_path):
    lines = [f"word {n};{'ab'[n % 2]}" for n in range(30)]
    (tmp_path / "texts.csv").write_text("\n".join(lines))
    data = {"kind": "csv", "path": "texts.csv", "columns": ["text", "label"]}
    task = load(tmp_path, "text/kind", data)
    assert sum(sizes(task).values()) == 30
    assert task.labels == ("a", "b")


def test_pairs_of_texts_are_two_columns(tmp_path):
    rows = [f'one {n}\ttwo "{n}\t{n % 2}' for n in range(30)]
    with gzip.open(tmp_path / "pairs.tsv.gz", "wt") as file:
        file.write("\n".join(["a\tb\tsame", *rows]))
    data = {"kind": "csv", "path": "pairs.tsv.gz", "input": ["a", "b"], "label": "same",
            "target": {"kind": "class", "names": {0: "no", 1: "yes"}}}  # fmt: skip
    task = load(tmp_path, "text/pairs", data)
    assert task.preprocess.parameters["pair"] is True
    assert task.labels == ("no", "yes")
    assert sum(sizes(task).values()) == 30


def test_several_columns_of_labels_are_tags(tmp_path):
    rows = [{"text": f"text {n}", "sea": n % 2, "snow": n % 3 == 0} for n in range(30)]
    (tmp_path / "tags.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = {"kind": "jsonl", "path": "tags.jsonl", "label": ["sea", "snow"], "target": "tags"}
    task = load(tmp_path, "text/topics", data)
    assert task.form is TargetForm.MULTI_LABEL
    assert task.labels == ("sea", "snow")
    total = sum(np.sum(split.targets[:], axis=0) for split in task.splits.values())
    assert np.asarray(total).tolist() == [15, 10]


def test_molecules_of_a_parquet_file(tmp_path):
    smiles = ["C" * (1 + n) + "O" for n in range(20)]
    columns = {"smiles": smiles, "value": [n / 3 for n in range(20)], "unused": [[1, 2]] * 20}
    parquet.write_table(pa.table(columns), tmp_path / "molecules.parquet")
    data = {"kind": "parquet", "path": "molecules.parquet", "label": "value", "target": "numbers"}
    task = load(tmp_path, "graph/value", data)
    assert task.family is TaskFamily.REGRESSION
    assert sizes(task) == {"train": 16, "val": 2, "test": 2}


def test_tables_name_files_in_any_folder(tmp_path):
    pictures(tmp_path / "store" / "all", count=10)
    lines = [f"{name}/{n:02}.png,{name}" for name in ("cat", "dog") for n in range(10)]
    (tmp_path / "list.csv").write_text("\n".join(["image,label", *lines]))
    data = {"kind": "csv", "path": "list.csv", "folder": "store/all"}
    task = load(tmp_path, "image/pets", data, preprocess=SMALL)
    assert sum(sizes(task).values()) == 20


def test_rows_of_one_recording_are_one_input(tmp_path):
    rng = np.random.default_rng(0)
    lines = [
        f"{record},{step / 50},{rng.normal():.3f},{rng.normal():.3f},{rng.normal():.3f},"
        f"{'walk' if record % 2 else 'sit'}"
        for record in range(30)
        for step in range(64)
    ]
    (tmp_path / "imu.csv").write_text("\n".join(["id,time,acc_x,acc_y,acc_z,label", *lines]))
    data = {"kind": "csv", "path": "imu.csv", "recording": "id"}
    task = load(tmp_path, "imu/moves", data, preprocess={"window": 64, "rate_hz": 50})
    assert sum(sizes(task).values()) == 30
    assert task.preprocess.parameters["channels"] == ["acc_x", "acc_y", "acc_z"]
    assert task.splits["train"].samples[0]["signal"].shape == (64, 3)


def test_molecules_of_an_sdf_file(tmp_path):
    writer = Chem.SDWriter(str(tmp_path / "molecules.sdf"))
    for number in range(20):
        molecule = Chem.MolFromSmiles("C" * (1 + number) + "N")
        molecule.SetProp("logP", str(number / 4))
        molecule.SetProp("set", "test" if number % 5 == 0 else "train")
        writer.write(molecule)
    writer.close()
    data = {"kind": "sdf", "path": "molecules.sdf", "label": "logP", "target": "numbers",
            "split": {"by": "given", "column": "set"}}  # fmt: skip
    task = load(tmp_path, "graph/logp", data)
    assert sizes(task) == {"train": 14, "val": 2, "test": 4}
    assert task.targets[0].name == "logP"


def test_shards_of_tar_files(tmp_path):
    for part, count in (("train", 12), ("val", 4)):
        (tmp_path / "shards" / part).mkdir(parents=True)
        with tarfile.open(tmp_path / "shards" / part / "000.tar", "w") as tar:
            for number in range(count):
                for ending, content in (("png", png(number)), ("cls", b"%d" % (number % 2))):
                    member = tarfile.TarInfo(f"{number:04}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    data = {"kind": "webdataset", "path": "shards", "cached": False}
    task = load(tmp_path, "image/shades", data, preprocess=SMALL)
    assert task.labels == ("0", "1")
    assert sizes(task) == {"train": 10, "val": 4, "test": 2}
    assert not (tmp_path / "cache").exists()
    assert int(task.splits["val"].samples[3]["pixels"].max()) == 3


@pytest.mark.parametrize("form", ["stream", "file", "parquet"])
def test_a_directory_of_the_library_datasets(tmp_path, form):
    folder = tmp_path / "hub"
    names = ["ant", "bee"]
    feature = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    for part, count in (("train", 20), ("test", 4)):
        place = folder / part if form != "parquet" else folder / "data"
        place.mkdir(parents=True, exist_ok=True)
        cells = [{"bytes": png(10 * n), "path": None} for n in range(count)]
        rows = pa.table({"image": cells, "label": [n % 2 for n in range(count)]})
        if form == "parquet":
            parquet.write_table(rows, place / f"{part}-00000-of-00001.parquet")
            (folder / "dataset_info.json").write_text(json.dumps({"features": feature}))
            continue
        path = place / "data-00000-of-00001.arrow"
        opened = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
        with opened(str(path), rows.schema) as writer:
            writer.write_table(rows)
        (place / "dataset_info.json").write_text(json.dumps({"features": feature}))
    task = load(tmp_path, "image/insects", {"kind": "datasets", "path": "hub"}, preprocess=SMALL)
    assert task.labels == ("ant", "bee")
    assert sizes(task) == {"train": 18, "val": 2, "test": 4}
    assert int(task.splits["test"].samples[2]["pixels"].max()) == 20


@pytest.mark.parametrize("field", ["kind", "path"])
def test_a_block_says_its_kind_and_its_path(field):
    data = {"kind": "csv", "path": "a.csv"}
    del data[field]
    with pytest.raises(ValueError, match=field):
        TaskBlock(data=data)


def test_a_path_that_is_not_there_is_told_with_what_is(tmp_path):
    table(tmp_path / "rows.csv")
    with pytest.raises(ArtifactError, match=r"rwos.csv is not there.*did you mean rows.csv"):
        load(tmp_path, "tabular/rows", {"kind": "csv", "path": "rwos.csv"})


def test_an_unknown_parameter_of_the_preprocessor_is_told(tmp_path):
    pictures(tmp_path / "pets")
    with pytest.raises(ArtifactError, match=r"no parameter 'heigth'.*did you mean height"):
        load(tmp_path, "image/pets", {"kind": "imagefolder", "path": "pets"},
             preprocess={"heigth": 3})  # fmt: skip
