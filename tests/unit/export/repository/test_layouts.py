from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from export.exported_checkpoint import ExportedCheckpoint, read_exported_checkpoint
from export.repository.layouts import Layout, is_current, plan
from omnivec2.errors import PassportError
from omnivec2.model_config import parse_config, read_head_spec
from tests.support.checkpoints.pretend_exports import make_checkpoint, pretend_export

PARTS = ["trunk", "head_imu_activity", "head_imu_gesture", "tokenizer_imu"]


@pytest.fixture
def source(tmp_path: Path) -> ExportedCheckpoint:
    return read_exported_checkpoint(make_checkpoint(tmp_path / "checkpoint", "activity", "gesture"))


def test_the_fused_layout_is_a_graph_per_head(source: ExportedCheckpoint) -> None:
    models = plan(source, Layout.FUSED)
    assert [model.name for model in models] == ["imu_activity", "imu_gesture"]
    for model in models:
        assert set(model.files) == {"model.onnx", "passport.json", "weights.safetensors"}
        assert read_head_spec(parse_config(model.config, model.name), model.name).name == model.name


def test_the_shared_layout_is_every_part_once_and_then_an_ensemble_per_head(
    source: ExportedCheckpoint,
) -> None:
    models = plan(source, Layout.SHARED)
    assert [model.name for model in models] == [*PARTS, "imu_activity", "imu_gesture"]
    for model in models[:4]:
        assert set(model.files) == {"model.onnx", "passport.json", "weights.safetensors"}
        assert model.files["weights.safetensors"] == source.checkpoint.weights_path
    for model in models[4:]:
        assert set(model.files) == {"passport.json"}
        assert read_head_spec(parse_config(model.config, model.name), model.name).name == model.name


@pytest.mark.parametrize("layout", Layout)
def test_what_was_just_exported_is_current(source: ExportedCheckpoint, layout: Layout) -> None:
    assert all(is_current(source, head, layout) for head in source.heads)


def _edit(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


OUTDATED: dict[str, tuple[Layout, Callable[[Path], None]]] = {
    "graph of a head": (
        Layout.FUSED,
        lambda c: (c / "models/imu_activity/model.onnx").write_bytes(b"altered"),
    ),
    "no passport of a head": (
        Layout.FUSED,
        lambda c: (c / "models/imu_activity/passport.json").unlink(),
    ),
    "graph of the trunk": (
        Layout.SHARED,
        lambda c: (c / "parts/trunk/model.onnx").write_bytes(b"altered"),
    ),
    "no graph of a part": (
        Layout.SHARED,
        lambda c: (c / "parts/head_imu_activity/model.onnx").unlink(),
    ),
    "no ensemble": (
        Layout.SHARED,
        lambda c: (c / "models/imu_activity/ensemble.json").unlink(),
    ),
    "ensemble of other weights": (
        Layout.SHARED,
        lambda c: _edit(c / "models/imu_activity/ensemble.json", checkpoint_digest="0" * 64),
    ),
    "trunk of other weights": (
        Layout.SHARED,
        lambda c: _edit(c / "parts/trunk/passport.json", checkpoint_digest="0" * 64),
    ),
}


@pytest.mark.parametrize("what", OUTDATED)
def test_what_was_altered_is_exported_again(source: ExportedCheckpoint, what: str) -> None:
    layout, alter = OUTDATED[what]
    alter(source.checkpoint.directory)
    (activity,) = [head for head in source.heads if head.task == "activity"]
    assert not is_current(source, activity, layout)
    other = Layout.FUSED if layout is Layout.SHARED else Layout.SHARED
    assert is_current(source, activity, other)


def test_a_head_that_is_not_exported_in_a_layout_says_how_to(source: ExportedCheckpoint) -> None:
    (source.checkpoint.directory / "models" / "imu_gesture" / "ensemble.json").unlink()
    with pytest.raises(PassportError, match=r"imu/gesture; run `omnivec2 export --layout shared`"):
        plan(source, Layout.SHARED)
    assert len(plan(source, Layout.FUSED)) == 2


def test_a_part_that_was_exported_again_outdates_the_ensembles(source: ExportedCheckpoint) -> None:
    _edit(source.checkpoint.directory / "parts/trunk/passport.json", content_digest="1" * 64)
    with pytest.raises(PassportError, match=r"imu/activity: trunk is not the one it was exported"):
        plan(source, Layout.SHARED)


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("passport.json", {"model": "tokenizer_imu"}),
        ("passport.json", {"checkpoint_digest": "0" * 64}),
        ("part.json", {"name": "tokenizer_imu"}),
        ("part.json", {"kind": "neck"}),
    ],
)
def test_a_part_that_is_not_what_it_is_named_is_refused(
    source: ExportedCheckpoint, file: str, fields: dict[str, str]
) -> None:
    assert read_exported_checkpoint(source.checkpoint.directory).part("trunk").spec.kind == "trunk"
    _edit(source.checkpoint.directory / "parts" / "trunk" / file, **fields)
    with pytest.raises(PassportError, match="trunk"):
        plan(source, Layout.SHARED)


def test_a_part_that_is_missing_is_named(source: ExportedCheckpoint) -> None:
    (source.checkpoint.directory / "parts/head_imu_gesture/part.json").unlink()
    with pytest.raises(PassportError, match="head_imu_gesture"):
        plan(source, Layout.SHARED)


def test_an_ensemble_of_other_weights_is_refused(source: ExportedCheckpoint) -> None:
    _edit(
        source.checkpoint.directory / "models/imu_gesture/ensemble.json", checkpoint_digest="0" * 64
    )
    with pytest.raises(PassportError, match=r"imu/gesture.*other weights"):
        plan(source, Layout.SHARED)


def test_exporting_in_one_layout_leaves_the_other_as_it_was(source: ExportedCheckpoint) -> None:
    before = plan(source, Layout.SHARED)
    pretend_export(source.checkpoint)
    again = read_exported_checkpoint(source.checkpoint.directory)
    assert plan(again, Layout.SHARED) == before
