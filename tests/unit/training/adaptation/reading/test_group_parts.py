"""Inputs of one person or recording, which stay in one part together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.spec import Modality
from omnivec2.training.adaptation.adaptation_request import AdaptRequest, DataPart, request_of
from omnivec2.training.adaptation.answer_forms import AnswerForm
from omnivec2.training.adaptation.reading.group_parts import (
    groups_of,
    hold_out_groups,
    notes_on_groups,
)
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.adaptation.reading.read_data import Parts, read_part, read_parts
from omnivec2.training.adaptation.reading.validation_folds import group_folds
from tests.support.data_sets import adapt_data

PEOPLE = 12


def request(route: str, train: dict[str, object], **fields: object) -> AdaptRequest:
    values = {"route": route, "train": train, "sources": [{"name": "x", "licence": "CC0"}]}
    return request_of(values | fields, "the test")


def texts(path: Path, people: range, per_person: int = 5) -> dict[str, object]:
    rows = [
        f"word {person} {number},{'cats' if number % 2 else 'money'},p{person}\n"
        for person in people
        for number in range(per_person)
    ]
    path.write_text("text,label,person\n" + "".join(rows))
    return {"path": path, "group": "person"}


def require_apart(parts: Parts) -> None:
    train, test = {row.group for row in parts.train}, {row.group for row in parts.test}
    assert None not in train | test
    assert test
    assert not train & test


def test_rows_of_one_person_are_inputs_by_themselves_and_in_one_part(tmp_path: Path) -> None:
    wanted = request("text/topic", texts(tmp_path / "texts.csv", range(PEOPLE)))
    parts = read_parts(wanted)
    require_apart(parts)
    assert len(parts.train) + len(parts.test) == 5 * PEOPLE
    assert 5 <= len(parts.test) <= 20
    assert parts.train[0].value == "word 0 0"


def test_a_person_in_two_tables_is_in_one_part(tmp_path: Path) -> None:
    first = texts(tmp_path / "a.csv", range(PEOPLE))
    texts(tmp_path / "b.csv", range(PEOPLE))
    first["path"] = [tmp_path / "a.csv", tmp_path / "b.csv"]
    require_apart(read_parts(request("text/topic", first)))


def test_recordings_of_one_name_in_two_tables_are_in_one_part(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        rows = [f"{i},{float(i)},{'run' if i % 2 else 'walk'}\n" for i in range(PEOPLE)] * 3
        (tmp_path / name).write_text("person,acc_x,label\n" + "".join(rows))
    train = {"path": [tmp_path / "a.csv", tmp_path / "b.csv"], "group": "person"}
    parts = read_parts(request("imu/pace", train))
    assert len(parts.train) + len(parts.test) == 2 * PEOPLE
    require_apart(parts)


def test_files_that_a_listing_names_are_grouped_by_its_column(tmp_path: Path) -> None:
    folder = adapt_data.picture_folder(tmp_path / "pictures", count=6)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    listing = tmp_path / "labels.csv"
    # A patient's pictures are of both classes, and the groups stand before the labels.
    rows = [f"{name},{name[-6:-4]},{name.split('/')[0]}\n" for name in names]
    listing.write_text("file,patient,label\n" + "".join(rows))
    train = {"path": folder, "label": str(listing), "group": "patient"}
    parts = read_parts(request("image/kind", train))
    require_apart(parts)
    assert parts.classes == ("dark", "light")


def test_recordings_by_path_and_arrays_are_grouped(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,label,person,age\na.csv,run,7,31\nb.csv,walk,7,31\n")
    part = DataPart.model_validate({"path": table, "group": "person"})
    rows = read_part(part, Modality.IMU, AnswerForm.CLASS)
    assert [(row.value, row.group) for row in rows] == [
        (tmp_path / "a.csv", "7"),
        (tmp_path / "b.csv", "7"),
    ]
    path = adapt_data.recordings(tmp_path / "imu.npz", 6)
    fields = {"input": "signal", "lengths": "length", "label": "action", "group": "person"}
    part = DataPart.model_validate({"path": path, **fields})
    rows = read_part(part, Modality.IMU, AnswerForm.CLASS)
    with np.load(path) as arrays:
        assert [row.group for row in rows] == [str(name) for name in arrays["person"].tolist()]


def test_a_test_table_with_people_of_the_training_part_is_refused(tmp_path: Path) -> None:
    train = texts(tmp_path / "a.csv", range(PEOPLE))
    test = texts(tmp_path / "b.csv", range(PEOPLE - 1, PEOPLE + 2))
    with pytest.raises(InvalidInputError, match=r"values of --group of the training part \(p11\)"):
        read_parts(request("text/topic", train, test=test))
    apart = texts(tmp_path / "b.csv", range(PEOPLE, PEOPLE + 2))
    require_apart(read_parts(request("text/topic", train, test=apart)))


def test_joined_recordings_of_the_same_name_in_both_parts_are_told() -> None:
    rows = [Row(f"a.csv, {i}", {}, "run", str(i), is_joined=True) for i in range(5)]
    assert notes_on_groups(rows, rows[:0]) == []
    (note,) = notes_on_groups(rows, rows)
    assert "(0, 1, 2 and 2 more)" in note


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text,label\na,x\n", "missing column 'person'"),
        ("text,label,person\na,x,1\nb,y,\n", r"t.csv, row 2: the group \(column 'person'\)"),
        ("text,label,person\n" + "a,x,1\nb,y,1\na,x,2\nb,y,2\n", "2 different values of --group"),
        (
            "text,label,person\n" + "".join(f"a,{'xyz'[i % 3]},{i % 3}\n" for i in range(12)),
            "no group can be held out",
        ),
    ],
    ids=["no column", "no name", "few groups", "a class per group"],
)
def test_groups_that_cannot_be_kept_apart_are_refused(
    tmp_path: Path, content: str, expected: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=expected):
        read_parts(request("text/topic", {"path": path, "group": "person"}))


def test_folders_and_scenes_have_no_groups(tmp_path: Path) -> None:
    folder = adapt_data.picture_folder(tmp_path / "pictures", count=2)
    with pytest.raises(InvalidInputError, match="folders name no groups"):
        read_parts(request("image/kind", {"path": folder, "group": "person"}))
    scene = adapt_data.scene(tmp_path / "s.mat")
    train = {"path": scene, "input": "cube", "label": "gt", "group": "gt"}
    with pytest.raises(InvalidInputError, match="pixels of a scene have no groups"):
        read_parts(request("hyperspectral/cover", train))
    arrays = tmp_path / "a.npz"
    np.savez(arrays, x=np.zeros((4, 8)), label=[0, 1, 0, 1], person=[1, 2])
    with pytest.raises(InvalidInputError, match=r"4 inputs have 2 groups \(person\)"):
        read_parts(request("timeseries/kind", {"path": arrays, "group": "person"}))


def test_a_group_that_has_a_tag_alone_is_learned_from() -> None:
    tags = [("a",), ("a", "b"), ("a",), ("rare",), ("b",), ("a",)]
    rows = [Row(str(i), "", tags[i % 6], f"p{i % 6}") for i in range(36)]
    for seed in range(5):
        held = hold_out_groups(rows, 0.3, seed=seed)
        assert "p3" not in {rows[i].group for i in held.tolist()}


def test_validation_folds_keep_groups_whole_and_every_class_known() -> None:
    generator = np.random.default_rng(0)
    for seed in range(20):
        groups = np.array([f"p{i}" for i in generator.integers(0, 9, 60)])
        classes = generator.integers(0, 3, 60)
        classes[groups == "p4"] = 3  # a class of one group only
        folds = group_folds(classes, groups.tolist(), 5, seed=seed)
        assert all(len(set(folds[groups == name])) == 1 for name in groups)
        assert set(folds[groups == "p4"]) == {-1}
        for fold in range(folds.max() + 1):
            assert (folds == fold).any()
            assert set(classes[folds == fold]) <= set(classes[folds != fold])


def test_folds_of_one_class_per_group_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="nothing can be validated"):
        group_folds(np.array([0, 0, 1, 1]), ["a", "a", "b", "b"], 5, seed=0)
    with pytest.raises(InvalidInputError, match="nothing can be validated"):
        group_folds(np.array([0, 1]), ["a", "a"], 5, seed=0)


def test_groups_of_one_input_each_change_nothing() -> None:
    rows = [Row(str(i), "", "x", str(i), is_joined=True) for i in range(4)]
    assert groups_of(rows) == ()
