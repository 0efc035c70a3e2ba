from __future__ import annotations

import json

import pytest

from omnivec2.training.data.blocks.checks.check import check_task
from omnivec2.training.data.blocks.task_block import TaskBlock
from tests.support.data_sets.broken_data import CSV, FAULTS, FOLDER, pictures, table


def checked(root, route, data, **settings):
    return check_task(route, TaskBlock(data=data), root, **settings)


@pytest.mark.parametrize("make", FAULTS, ids=lambda make: make.__name__)
def test_a_fault_is_named_with_its_file_and_row(tmp_path, make):
    fault = make(tmp_path)
    check = checked(tmp_path, fault.route, fault.data)
    found = [p for p in check.problems if p.kind.value == fault.kind]
    assert [str(problem.origin) for problem in found][:1] == [fault.place]
    assert fault.reason in found[0].reason
    assert found[0].is_warning is fault.is_warning
    assert check.is_broken is not fault.is_warning


def test_every_broken_file_is_named_not_the_first_alone(tmp_path):
    pictures(tmp_path / "pets")
    for name in ("cat/01", "dog/02", "dog/07"):
        (tmp_path / "pets" / f"{name}.png").write_bytes(b"nothing")
    check = checked(tmp_path, "image/pets", FOLDER)
    places = [str(problem.origin) for problem in check.problems if not problem.is_warning]
    assert places == ["pets/cat/01.png", "pets/dog/02.png", "pets/dog/07.png"]


def test_good_data_is_counted_by_class_and_part_and_shown(tmp_path):
    pictures(tmp_path / "pets", count=20)
    check = checked(tmp_path, "image/pets", FOLDER)
    assert check.problems == []
    assert check.counts == {"train": 32, "val": 4, "test": 4}
    assert check.classes == {
        "cat": {"train": 16, "val": 2, "test": 2},
        "dog": {"train": 16, "val": 2, "test": 2},
    }
    assert check.decoded == 40
    assert {(one.part, one.caption) for one in check.shown} == {
        (part, name) for part in ("train", "val", "test") for name in ("cat", "dog")
    }


def test_quantities_are_described_by_the_training_part(tmp_path):
    table(tmp_path / "rows.csv")
    split = {"by": "given", "column": "part"}
    data = {**CSV, "label": "size", "target": "numbers", "split": split}
    check = checked(tmp_path, "tabular/rows", data)
    train = [n / 10 for n in range(40) if n >= 12 or n % 3 == 0]
    assert check.quantities["size"]["mean"] == pytest.approx(sum(train) / len(train))


def test_what_the_preprocessor_remarks_is_told(tmp_path):
    lines = [f"{'word ' * (400 if n == 3 else 2)}{n},{'ab'[n % 2]}" for n in range(40)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *lines]))
    check = checked(tmp_path, "text/kind", {"kind": "csv", "path": "texts.csv"})
    assert not check.is_broken
    assert sum(check.notes.values()) > 0


def test_decoding_stops_when_its_time_is_over(tmp_path):
    pictures(tmp_path / "pets", count=80)
    done = []
    check = checked(tmp_path, "image/pets", FOLDER, seconds=1e-9, advance=lambda *n: done.append(n))
    assert check.decoded == 0
    assert sum(check.counts.values()) == 160
    assert done == []


def test_a_check_is_json(tmp_path):
    pictures(tmp_path / "pets")
    (tmp_path / "pets/cat/01.png").write_bytes(b"nothing")
    document = json.loads(json.dumps(checked(tmp_path, "image/pets", FOLDER).to_json()))
    (problem,) = [one for one in document["problems"] if not one["warning"]]
    assert problem["file"] == "pets/cat/01.png"
    assert problem["row"] is None
