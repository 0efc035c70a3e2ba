from __future__ import annotations

import logging
from pathlib import Path

import pytest

from export import exported_checkpoint
from export.exported_checkpoint import read_exported_checkpoint
from export.repository.layouts import Layout, is_current, plan
from omnivec2.errors import PassportError
from omnivec2.passport import Passport, load_passport
from tests.support.checkpoints.pretend_exports import make_checkpoint
from tests.support.checkpoints.references import made_up_reference


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "checkpoint", "activity", "gesture")


def test_every_passport_is_read_once_however_often_it_is_asked_for(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counting(path: Path) -> Passport:
        read.append(path)
        return load_passport(path)

    monkeypatch.setattr(exported_checkpoint, "load_passport", counting)
    source = read_exported_checkpoint(checkpoint)
    for layout in (*Layout, *Layout):
        assert all(is_current(source, head, layout) for head in source.heads)
        plan(source, layout)
    assert len(read) == len(set(read)) == 2 + 2 + 4  # heads, ensembles, parts


def test_nothing_is_read_before_it_is_asked_for(checkpoint: Path) -> None:
    for path in checkpoint.rglob("passport.json"):
        path.unlink()
    source = read_exported_checkpoint(checkpoint)
    assert [head.name for head in source.heads] == ["imu_activity", "imu_gesture"]
    assert not source.has_whole(source.heads[0])
    assert source.has_ensemble(source.heads[0])
    with pytest.raises(PassportError, match="trunk"):
        source.part("trunk")


def test_a_head_that_writes_no_text_has_no_decoder(checkpoint: Path) -> None:
    source = read_exported_checkpoint(checkpoint)
    assert source.decoder(source.heads[0]) is None


def test_a_training_reference_counts_only_for_the_parts_that_it_was_measured_with(
    checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = read_exported_checkpoint(checkpoint)
    head, other = source.heads
    passport = source.ensemble_passport(head)
    assert source.training_reference(head, passport) is None
    known = made_up_reference(trunk=passport.parts["trunk"])
    for spec, reference in ((head, known), (other, made_up_reference(trunk="another"))):
        path = source.checkpoint.model_directory(spec) / "training_reference.json"
        path.write_text(reference.model_dump_json())
    assert source.training_reference(head, passport) == known
    with caplog.at_level(logging.WARNING):
        assert source.training_reference(other, source.ensemble_passport(other)) is None
    assert "omnivec2 familiarity imu/gesture" in caplog.text
