from __future__ import annotations

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from export.repository.assembly import assemble, read_record, write_record
from export.repository.layouts import Layout
from export.repository.triton_options import CostTable, TritonOptions
from omnivec2.atomic_files import replace_directory
from omnivec2.errors import ArtifactError, PassportError
from omnivec2.model_config import has_head_spec, read_config, read_head_spec, read_passport
from omnivec2.passport import load_passport, verify_passport
from omnivec2.spec import HeadSpec
from tests.support.checkpoints.pretend_exports import make_checkpoint


def assemble_fused(checkpoint: Path, out: Path) -> list[Path]:
    return assemble(checkpoint, out, Layout.FUSED)


def times(out: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file() and "1" in p.parts}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "checkpoint", "activity", "gesture")


def test_every_head_becomes_a_model_directory_that_its_passport_vouches_for(
    checkpoint: Path, tmp_path: Path
) -> None:
    models = assemble_fused(checkpoint, tmp_path / "repo")
    assert [path.name for path in models] == ["imu_activity", "imu_gesture"]
    for path in models:
        verify_passport(path / "1")
        assert read_head_spec(read_config(path / "config.pbtxt"), path.name).name == path.name


def test_the_weights_are_one_file_on_the_disk(checkpoint: Path, tmp_path: Path) -> None:
    models = assemble_fused(checkpoint, tmp_path / "repo")
    files = [checkpoint, *(path / "1" for path in models)]
    assert len({(path / "weights.safetensors").stat().st_ino for path in files}) == 1


def test_where_links_cannot_be_made_files_are_copied(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    for path in assemble_fused(checkpoint, tmp_path / "repo"):
        verify_passport(path / "1")


def test_an_up_to_date_repository_is_left_alone_and_may_be_read_only(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "repo"
    first = assemble_fused(checkpoint, out)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(os, "open", refuse)
    assert assemble_fused(checkpoint, out) == first


def test_a_damaged_or_missing_file_is_rewritten_and_others_are_untouched(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repo"
    assemble_fused(checkpoint, out)
    before = times(out)
    (out / "imu_activity" / "1" / "model.onnx").write_bytes(b"damaged")
    assemble_fused(checkpoint, out)
    verify_passport(out / "imu_activity" / "1")
    after = times(out)
    assert {k: v for k, v in after.items() if "gesture" in k} == {
        k: v for k, v in before.items() if "gesture" in k
    }
    shutil.rmtree(out / "imu_activity" / "1")
    assemble_fused(checkpoint, out)
    verify_passport(out / "imu_activity" / "1")


def test_new_weights_replace_every_model(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "repo"
    assemble_fused(checkpoint, out)
    make_checkpoint(checkpoint, "activity", "gesture", fill=2.0)
    digests = {
        verify_passport(path / "1").checkpoint_digest for path in assemble_fused(checkpoint, out)
    }
    assert len(digests) == 1


def test_a_head_that_is_gone_is_removed_but_what_others_put_there_stays(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repo"
    assemble_fused(checkpoint, out)
    (out / "their_model").mkdir()
    (out / "README.md").write_text("theirs")
    make_checkpoint(checkpoint, "gesture")
    assemble_fused(checkpoint, out)
    assert sorted(path.name for path in out.iterdir() if path.name[0] != ".") == [
        "README.md",
        "imu_gesture",
        "their_model",
    ]


def test_a_head_that_is_gone_is_removed_even_if_the_others_are_current(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repo"
    assemble_fused(checkpoint, out)
    shutil.rmtree(checkpoint / "models" / "imu_activity")
    assemble_fused(checkpoint, out)
    assert not (out / "imu_activity").exists()


def test_a_head_without_a_graph_is_refused_and_nothing_is_written(
    checkpoint: Path, tmp_path: Path
) -> None:
    (checkpoint / "models" / "imu_gesture" / "model.onnx").unlink()
    with pytest.raises(PassportError, match=r"imu/gesture.*omnivec2 export"):
        assemble_fused(checkpoint, tmp_path / "repo")
    assert not (tmp_path / "repo").exists()


def test_a_graph_of_other_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other", "activity", "gesture", fill=3.0)
    for name in ("model.onnx", "passport.json"):
        target = checkpoint / "models" / "imu_gesture" / name
        shutil.copyfile(other / "models" / "imu_gesture" / name, target)
    with pytest.raises(PassportError, match=r"imu/gesture.*other weights"):
        assemble_fused(checkpoint, tmp_path / "repo")


def test_a_graph_that_was_altered_never_reaches_the_repository(
    checkpoint: Path, tmp_path: Path
) -> None:
    (checkpoint / "models" / "imu_gesture" / "model.onnx").write_bytes(b"altered")
    with pytest.raises(PassportError, match=r"model\.onnx"):
        assemble_fused(checkpoint, tmp_path / "repo")
    assert not (tmp_path / "repo" / "imu_gesture").exists()


def test_leftovers_of_a_killed_process_are_removed(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "repo"
    assemble_fused(checkpoint, out)
    (out / ".staging-imu_activity-x").mkdir()
    (out / ".staging-file").touch()
    (out / "imu_activity").rename(out / ".retired-imu_activity")
    assemble_fused(checkpoint, out)
    verify_passport(out / "imu_activity" / "1")
    assert sorted(p.name for p in out.iterdir() if p.name.startswith((".s", ".r"))) == []


def test_a_record_that_was_tampered_with_removes_nothing_outside_the_repository(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repo"
    assemble_fused(checkpoint, out)
    (tmp_path / "precious").mkdir()
    (out / ".assembled.json").write_text('["../precious", "..", ".", 3, ""]')
    (out / "imu_activity" / "config.pbtxt").write_text("")
    assemble_fused(checkpoint, out)
    assert (tmp_path / "precious").exists()


def test_a_directory_that_cannot_be_written_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactError, match="file"):
        assemble_fused(checkpoint, tmp_path / "file")


def test_processes_that_start_together_take_turns(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "repo"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        answers = pool.starmap(assemble_fused, [(checkpoint, out)] * 3)
    assert answers[0] == answers[1] == answers[2]
    for path in answers[0]:
        verify_passport(path / "1")
    assert not list(out.rglob(".staging-*"))


def test_heads_that_were_replaced_or_removed_by_hand_stay_as_they_are(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repo"
    assemble_fused(checkpoint, out)
    shutil.rmtree(out / "imu_gesture")
    (out / "imu_activity" / "config.pbtxt").write_text("theirs")
    record = read_record(out)
    added = {"added": ("imu_activity",), "removed": ("imu_gesture",)}
    write_record(out, record.model_copy(update=added))
    assert assemble_fused(checkpoint, out) == []
    assert (out / "imu_activity" / "config.pbtxt").read_text() == "theirs"
    assert not (out / "imu_gesture").exists()
    with pytest.raises(ArtifactError, match="imu_activity"):
        assemble(checkpoint, out, Layout.SHARED)


def test_a_repository_built_in_another_precision_is_kept_or_refused_but_never_overwritten(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repo"
    assemble_fused(checkpoint, out)
    write_record(out, read_record(out).model_copy(update={"precision": "fp16"}))
    before = times(out)
    assert len(assemble(checkpoint, out)) == 2
    assert times(out) == before
    make_checkpoint(checkpoint, "activity", "gesture", fill=2.0)
    with pytest.raises(ArtifactError, match="other weights"):
        assemble(checkpoint, out)


# --- the shared layout -------------------------------------------------------------------

SHARED = [
    "trunk",
    "head_imu_activity",
    "head_imu_gesture",
    "tokenizer_imu",
    "imu_activity",
    "imu_gesture",
]


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir() if path.name[0] != "."}


def test_the_shared_layout_has_every_part_once_and_parts_before_the_heads_that_use_them(
    checkpoint: Path, tmp_path: Path
) -> None:
    models = assemble(checkpoint, tmp_path / "repo", Layout.SHARED)
    assert [path.name for path in models] == SHARED
    assert names(tmp_path / "repo") == set(SHARED)
    for path in models:
        verify_passport(path / "1")
    assert [p.name for p in (tmp_path / "repo" / "imu_activity" / "1").iterdir()] == [
        "passport.json"
    ]
    weights = [path / "1" / "weights.safetensors" for path in models[:4]]
    assert len({path.stat().st_ino for path in weights}) == 1


def test_models_are_put_in_place_after_the_parts_they_need(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed: list[str] = []

    def place(source: Path, target: Path) -> None:
        placed.append(target.name)
        replace_directory(source, target)

    monkeypatch.setattr("export.repository.assembly.replace_directory", place)
    assemble(checkpoint, tmp_path / "repo", Layout.SHARED)
    assert placed == SHARED


def test_another_layout_takes_the_place_of_the_one_before(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "repo"
    (out / "their_model").mkdir(parents=True)
    assemble(checkpoint, out, Layout.SHARED)
    assemble(checkpoint, out, Layout.FUSED)
    assert names(out) == {"imu_activity", "imu_gesture", "their_model"}
    for name in ("imu_activity", "imu_gesture"):
        assert (out / name / "1" / "model.onnx").exists()
    assemble(checkpoint, out, Layout.SHARED)
    assert names(out) == {*SHARED, "their_model"}
    for name in ("imu_activity", "imu_gesture"):
        assert not (out / name / "1" / "model.onnx").exists()


def test_without_a_requested_layout_a_repository_keeps_its_own_and_a_new_one_is_shared(
    checkpoint: Path, tmp_path: Path
) -> None:
    assemble_fused(checkpoint, tmp_path / "fused")
    assemble(checkpoint, tmp_path / "fused")
    assert names(tmp_path / "fused") == {"imu_activity", "imu_gesture"}
    assemble(checkpoint, tmp_path / "new")
    assert names(tmp_path / "new") == set(SHARED)


def test_a_head_that_is_gone_takes_its_part_with_it(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "repo"
    assemble(checkpoint, out, Layout.SHARED)
    before = times(out)
    shutil.rmtree(checkpoint / "models" / "imu_activity")
    assemble(checkpoint, out, Layout.SHARED)
    assert names(out) == {"trunk", "tokenizer_imu", "head_imu_gesture", "imu_gesture"}
    assert times(out).items() <= before.items()


def test_a_damaged_part_is_rewritten_and_others_are_untouched(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repo"
    assemble(checkpoint, out, Layout.SHARED)
    before = times(out)
    (out / "trunk" / "1" / "model.onnx").write_bytes(b"damaged")
    assemble(checkpoint, out, Layout.SHARED)
    verify_passport(out / "trunk" / "1")
    changed = {path for path, time in times(out).items() if before[path] != time}
    assert {Path(path).parent.parent.name for path in changed} == {"trunk"}


def test_readable_side_files_of_spec_and_passport_are_beside_the_configuration(
    checkpoint: Path, tmp_path: Path
) -> None:
    for path in assemble(checkpoint, tmp_path / "repo", Layout.SHARED):
        config = read_config(path / "config.pbtxt")
        side_files = {file.name for file in path.iterdir() if file.suffix == ".json"}
        if not has_head_spec(config):
            assert side_files == set()
            continue
        assert side_files == {"head_spec.json", "passport.json"}
        text = (path / "head_spec.json").read_text("utf-8")
        assert HeadSpec.model_validate_json(text) == read_head_spec(config, path.name)
        assert text.count("\n") > 20
        assert load_passport(path / "passport.json") == read_passport(config)


def test_a_side_file_that_was_edited_is_written_again(checkpoint: Path, tmp_path: Path) -> None:
    file = assemble_fused(checkpoint, tmp_path / "repo")[0] / "head_spec.json"
    before = file.read_text("utf-8")
    file.write_text("{}")
    assemble_fused(checkpoint, tmp_path / "repo")
    assert file.read_text("utf-8") == before


def test_a_repository_keeps_the_backend_and_the_costs_it_was_written_with(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repo"
    assemble(checkpoint, out, Layout.SHARED)
    seconds = {"trunk": {1: 0.01, 8: 0.09}}
    costs = CostTable(engine="openvino", cores=4, seconds=seconds)
    options = TritonOptions(backend="openvino", costs=costs)
    assemble(checkpoint, out, None, options)
    assert read_record(out).triton == options
    before = times(out)
    assemble(checkpoint, out)
    assert times(out) == before
    trunk = read_config(out / "trunk" / "config.pbtxt")
    assert (trunk.backend, trunk.max_batch_size, trunk.instance_group[0].count) == (
        "openvino",
        0,
        4,
    )
    assemble(checkpoint, out, None, TritonOptions())
    assert read_config(out / "trunk" / "config.pbtxt").backend == "onnxruntime"


def test_a_repository_with_added_heads_is_not_rewritten_for_another_backend(
    checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "repo"
    assemble(checkpoint, out, Layout.SHARED)
    write_record(out, read_record(out).model_copy(update={"added": ("imu_other",)}))
    with pytest.raises(ArtifactError, match=r"added to it for onnxruntime \(imu_other\)"):
        assemble(checkpoint, out, None, TritonOptions(backend="openvino"))
