from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from omnivec2.errors import InvalidInputError
from omnivec2.spec import Modality
from omnivec2.training.adaptation.adaptation_request import AdaptRequest, DataPart, request_of
from omnivec2.training.adaptation.answer_forms import AnswerForm
from omnivec2.training.adaptation.reading.labelled_rows import Pixel, Row
from omnivec2.training.adaptation.reading.read_data import choose, read_part, read_parts
from omnivec2.training.adaptation.reading.validation_folds import folds_of
from tests.support.data_sets import adapt_data


def read(
    modality: Modality, path: Path, form: AnswerForm = AnswerForm.CLASS, **fields: object
) -> list[Row]:
    part = DataPart.model_validate({"path": path, **fields})
    return read_part(part, modality, form)


def request(train: dict[str, object], **fields: object) -> AdaptRequest:
    values = {"route": "text/topic", "train": train, "sources": [{"name": "x", "licence": "CC0"}]}
    return request_of(values | fields, "the test")


def test_sub_folders_are_classes_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    folder = adapt_data.picture_folder(tmp_path / "pictures", count=2)
    (folder / "dark" / ".DS_Store").write_bytes(b"x")
    (folder / ".git").mkdir()
    rows = read(Modality.IMAGE, folder)
    assert [(row.where, row.label) for row in rows] == [
        ("dark/00.png", "dark"),
        ("dark/01.png", "dark"),
        ("light/00.png", "light"),
        ("light/01.png", "light"),
    ]


def test_a_csv_of_files_and_labels_names_the_row_of_a_file_that_is_missing(tmp_path: Path) -> None:
    folder = adapt_data.picture_folder(tmp_path / "pictures", count=1)
    listing = tmp_path / "labels.csv"
    listing.write_text("file,label\ndark/00.png,night\n")
    [row] = read(Modality.IMAGE, folder, label=str(listing))
    assert (row.value, row.label) == (folder / "dark" / "00.png", "night")
    listing.write_text("file,label\ndark/00.png,night\ndark/99.png,night\n")
    with pytest.raises(InvalidInputError, match=r"labels.csv, row 2: .*99.png is not there"):
        read(Modality.IMAGE, folder, label=str(listing))


def test_a_label_that_is_empty_in_a_listing_is_named_with_its_row(tmp_path: Path) -> None:
    folder = adapt_data.picture_folder(tmp_path / "pictures", count=2)
    listing = tmp_path / "labels.csv"
    listing.write_text("file,what\ndark/00.png,dark\nlight/00.png,\n")
    with pytest.raises(InvalidInputError, match=r"labels\.csv, row 2: the label .*'what'.* empty"):
        read(Modality.IMAGE, folder, label=str(listing))


def test_labels_that_are_no_file_are_not_silently_those_of_the_sub_folders(tmp_path: Path) -> None:
    folder = adapt_data.picture_folder(tmp_path / "pictures", count=2)
    with pytest.raises(InvalidInputError, match=r"labels\.csv is no file"):
        read(Modality.IMAGE, folder, label="labels.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", b"path,label\n\xff,gr\xfcn\n"),
        ("rows.csv.gz", b"\x1f\x8b\x08\x00garbage"),
        ("rows.csv.gz", gzip.compress(b"path,label\n" * 50)[:-12]),
        ("rows.csv.gz", b"path,label\n"),
        ("rows.parquet", b"PAR1 and no more"),
        ("picture.png", b"\x89PNG\r\n\x1a\n"),
    ],
    ids=["encoding", "gzip header", "gzip cut off", "not gzip", "parquet", "no table"],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=name):
        read(Modality.IMAGE, path)


def test_a_tsv_without_a_header_is_read_without_quoting(tmp_path: Path) -> None:
    path = tmp_path / "cola.tsv.gz"
    path.write_bytes(gzip.compress(b'gj04\t1\t\tHe said "no.\ngj04\t0\t*\tNo he said.\n'))
    rows = read(Modality.TEXT, path, input="column 4", label="column 2")
    assert [(row.value, row.label) for row in rows] == [('He said "no.', "1"), ("No he said.", "0")]


def test_two_columns_are_a_pair_of_texts(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("first,second,label\nIt rains.,It is wet.,yes\n")
    [row] = read(Modality.TEXT, path, input=("first", "second"))
    assert row.value == {"text": "It rains.", "text_pair": "It is wet."}


def test_a_parquet_table_gives_rows_with_missing_values(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.table({"age": [31, None], "job": ["cook", None], "label": [1, 0]})
    parquet.write_table(table, path)
    rows = read(Modality.TABULAR, path)
    assert [row.value for row in rows] == [
        [{"age": 31, "job": "cook"}],
        [{"age": None, "job": None}],
    ]
    assert [row.label for row in rows] == ["1", "0"]


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = adapt_data.text_table(tmp_path / "texts.csv", 1)
    with pytest.raises(InvalidInputError, match=r"texts.csv: missing column 'label'.*'topic'"):
        read(Modality.TEXT, path)


def test_a_target_that_is_no_number_is_named_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("smiles,size\nC,1.5\nCC,large\n")
    with pytest.raises(InvalidInputError, match=r"m.csv, row 2: expected a finite number.*'large'"):
        read(Modality.GRAPH, path, AnswerForm.QUANTITIES, label="size")


def test_rows_of_one_recording_are_put_together_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "walks.csv"
    path.write_text("id,acc_x,label\n7,1.0,run\n8,5.0,walk\n7,2.0,run\n")
    rows = read(Modality.IMU, path, group="id")
    assert [row.value for row in rows] == [{"acc_x": [1.0, 2.0]}, {"acc_x": [5.0]}]
    path.write_text("id,acc_x,label\n7,1.0,run\n7,2.0,walk\n")
    with pytest.raises(InvalidInputError, match="id 7: one recording has 2 different labels"):
        read(Modality.IMU, path, group="id")


def test_recordings_laid_end_to_end_are_cut_and_chosen_by_another_array(tmp_path: Path) -> None:
    path = adapt_data.recordings(tmp_path / "imu.npz", 6)
    fields = {"input": "signal", "lengths": "length", "label": "action"}
    rows = read(Modality.IMU, path, **fields, only={"person": ("0",)})
    assert [(row.where, row.label) for row in rows] == [
        ("imu.npz, row 1", "0"),
        ("imu.npz, row 4", "1"),
    ]
    assert [row.value.shape for row in rows] == [(20, 6), (23, 6)]


def test_labelled_pixels_of_a_scene_are_inputs_and_pixel_0_is_not(tmp_path: Path) -> None:
    rows = read(
        Modality.HYPERSPECTRAL, adapt_data.scene(tmp_path / "s.mat"), input="cube", label="gt"
    )
    assert Counter(row.label for row in rows) == {"2": 54, "5": 54}
    assert isinstance(rows[0].value, Pixel)
    assert rows[0].value.index == 12


def test_idx_files_hold_pictures_and_labels(tmp_path: Path) -> None:
    adapt_data.idx_pictures(tmp_path, 4)
    rows = read(
        Modality.IMAGE, tmp_path / "images-ubyte.gz", label=str(tmp_path / "labels-ubyte.gz")
    )
    assert [row.label for row in rows] == ["0", "1", "0", "1"]
    picture = rows[1].value
    assert isinstance(picture, np.ndarray)
    assert picture.shape == (28, 28)
    assert int(picture[0, 0]) == 220


def test_damaged_arrays_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(InvalidInputError, match=r"a.npz: not readable arrays"):
        read(Modality.IMU, path)


def test_a_fraction_is_exact_balanced_and_decided_by_the_seed() -> None:
    rows = [Row(str(i), "", "abc"[min(i // 50, 2)]) for i in range(120)]
    chosen = choose(rows, 0.1, seed=3)
    counts = Counter(rows[i].label for i in chosen.tolist())
    assert counts == {"a": 5, "b": 5, "c": 2}
    assert np.array_equal(chosen, choose(rows, 0.1, seed=3))
    assert not np.array_equal(chosen, choose(rows, 0.1, seed=4))


def test_every_class_keeps_a_label_however_small_the_fraction() -> None:
    rows = [Row(str(i), "", str(i % 27)) for i in range(270)]
    assert len(choose(rows, 0.01, seed=0)) == 27
    assert len(choose(rows, 0.15, seed=0)) == round(0.15 * 270)


def test_folds_divide_every_class_and_leave_single_rows_to_training() -> None:
    labels = np.array([0] * 10 + [1] * 5 + [2])
    folds = folds_of(labels, 5, seed=0)
    assert Counter(folds[:10].tolist()) == dict.fromkeys(range(5), 2)
    assert Counter(folds[10:15].tolist()) == dict.fromkeys(range(5), 1)
    assert folds[15] == -1


def test_training_and_held_out_rows_never_overlap(tmp_path: Path) -> None:
    path = adapt_data.text_table(tmp_path / "texts.csv", 20)
    parts = read_parts(request({"path": path, "label": "topic"}, fraction=0.5))
    train, test = {row.where for row in parts.train}, {row.where for row in parts.test}
    assert (len(train), len(test), parts.pool) == (16, 8, 32)
    assert not train & test
    assert parts.classes == ("cats", "money")


def test_labels_that_only_the_test_part_has_are_refused(tmp_path: Path) -> None:
    path = adapt_data.text_table(tmp_path / "texts.csv", 2)
    other = tmp_path / "test.csv"
    other.write_text("sentence,topic\nRain.,weather\n")
    wanted = request({"path": path, "label": "topic"}, test={"path": other, "label": "topic"})
    with pytest.raises(InvalidInputError, match="labels that the training part lacks: weather"):
        read_parts(wanted)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\n" + "word word,a\n" * 10)
    with pytest.raises(InvalidInputError, match="expected two or more classes"):
        read_parts(request({"path": path}))


def test_one_label_of_each_class_is_too_few_to_choose_by(tmp_path: Path) -> None:
    path = adapt_data.text_table(tmp_path / "texts.csv", 20)
    with pytest.raises(InvalidInputError, match=r"class with two; there are 32, .*takes 0\.01"):
        read_parts(request({"path": path, "label": "topic"}, fraction=0.01))


def test_an_unknown_modality_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match=r"route: .*expected one of image, video"):
        request({"path": "x"}, route="smell/food")
