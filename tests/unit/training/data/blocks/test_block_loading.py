from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import ArtifactError
from omnivec2.model_config import HEAD_SPEC_PARAMETER, set_head_spec
from omnivec2.model_config_messages import ModelConfig
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec
from omnivec2.training.data import load_task
from omnivec2.training.data.blocks.task_block import TaskBlock
from tests.support.data_sets.broken_data import FOLDER, pictures, table


def load(root, route, data, **settings):
    return load_task(route, root, cache=root / "cache", block=TaskBlock(data=data, **settings))


def head_of(task) -> HeadSpec:
    return HeadSpec(
        modality=task.modality,
        task=task.route.partition("/")[2],
        family=task.family,
        inputs=preprocessor_for(task.preprocess).inputs,
        outputs=(),
        preprocess=task.preprocess,
        labels=task.labels,
        data_block=dict(task.block),
        network="tiny",
    )


def test_every_input_that_is_prepared_is_told_with_their_number(tmp_path):
    pictures(tmp_path / "pets")
    block = TaskBlock(data=FOLDER)
    told: list[tuple[int, int | None]] = []
    load_task(
        "image/x",
        tmp_path,
        cache=tmp_path / "cache",
        block=block,
        progress=lambda *of: told.append(of),
    )
    count = len(told)
    assert count > 5
    assert told == [(done, count) for done in range(1, count + 1)]


def test_a_trained_head_finds_its_data_and_keeps_its_classes_and_columns(tmp_path):
    table(tmp_path / "rows.csv")
    data = {"kind": "csv", "path": "rows.csv", "label": "label", "leave_out": ["when", "part"]}
    task = load(tmp_path, "tabular/rows", data, metric="auc")
    head = HeadSpec.model_validate_json(head_of(task).model_dump_json())
    again = load_task("tabular/rows", tmp_path, cache=tmp_path / "cache", head=head)
    assert (again.labels, again.preprocess, again.metric) == (task.labels, task.preprocess, "auc")
    for part, split in task.splits.items():
        assert again.splits[part].targets[:].tolist() == split.targets[:].tolist()
    # Other rows: the head's own means and classes still hold.
    table(tmp_path / "rows.csv", {number: f"{number},high,x,train" for number in range(1, 9)})
    later = load_task("tabular/rows", tmp_path, cache=tmp_path / "cache", head=head)
    assert later.preprocess == task.preprocess
    assert later.labels == task.labels


def test_what_is_served_says_nothing_of_the_files_it_was_trained_on(tmp_path):
    pictures(tmp_path / "pets")
    head = head_of(load(tmp_path, "image/pets", FOLDER))
    config = ModelConfig()
    set_head_spec(config, head)
    assert "pets/" not in config.parameters[HEAD_SPEC_PARAMETER].string_value
    assert "imagefolder" not in config.parameters[HEAD_SPEC_PARAMETER].string_value


def test_training_stops_at_broken_inputs_with_the_first_of_them_and_their_number(tmp_path):
    pictures(tmp_path / "pets", count=10)
    for number in range(5):
        (tmp_path / f"pets/cat/{number:02}.png").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=r"pets/cat/00.png: .*and 2 more .*data check"):
        load(tmp_path, "image/pets", FOLDER)


def test_a_part_without_examples_is_told(tmp_path):
    table(tmp_path / "rows.csv")
    split = {"by": "date", "column": "when", "val_from": "2030-01-01", "test_from": "2031-01-01"}
    data = {"kind": "csv", "path": "rows.csv", "label": "label", "leave_out": "part"}
    with pytest.raises(ArtifactError, match="the part val is empty, of 40 examples"):
        load(tmp_path, "tabular/rows", {**data, "split": split})


def test_prepared_arrays_are_used_again_until_a_file_changes(tmp_path):
    pictures(tmp_path / "pets", count=10)
    first = load(tmp_path, "image/pets", FOLDER)
    load(tmp_path, "image/pets", FOLDER)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    other = (tmp_path / "pets/dog/00.png").read_bytes()
    (tmp_path / "pets/cat/00.png").write_bytes(other)
    again = load(tmp_path, "image/pets", FOLDER)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert len(again.splits["train"]) == len(first.splits["train"])


def test_samples_that_are_not_cached_are_the_same(tmp_path):
    pictures(tmp_path / "pets", count=10)
    cached = load(tmp_path, "image/pets", FOLDER)
    lazy = load(tmp_path, "image/pets", {**FOLDER, "cached": False})
    for part, split in cached.splits.items():
        for one, other in zip(split.samples, lazy.splits[part].samples, strict=True):
            np.testing.assert_array_equal(one["pixels"], other["pixels"])


def test_a_recording_of_several_windows_is_several_samples_of_its_class(tmp_path):
    rng = np.random.default_rng(0)
    lines = [
        f"{record},{step / 50},{rng.normal():.3f},{('sit', 'walk')[record % 2]}"
        for record in range(20)
        for step in range(200)
    ]
    (tmp_path / "imu.csv").write_text("\n".join(["id,time,acc_x,label", *lines]))
    data = {"kind": "csv", "path": "imu.csv", "recording": "id"}
    task = load(tmp_path, "imu/moves", data, preprocess={"window": 64, "rate_hz": 50})
    train = task.splits["train"]
    assert len(train) > 16
    assert len(train.targets) == len(train.samples)
    assert "example" not in train.samples[0]


def test_settings_without_a_block_are_refused():
    from pydantic import ValidationError

    from omnivec2.training.recipe import Recipe

    with pytest.raises(ValidationError, match="metric needs a block of data"):
        Recipe.model_validate(
            {"preset": "tiny", "steps": 1, "tasks": {"image/pets": {"weight": 1, "metric": "auc"}}}
        )
