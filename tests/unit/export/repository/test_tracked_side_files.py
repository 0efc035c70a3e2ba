from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from export.repository import tracked_side_files


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tracked files, which the module takes for its own."""
    copy = tmp_path / "model_repo"
    ignore = shutil.ignore_patterns("[0-9]*", ".*", "config.pbtxt")
    shutil.copytree(tracked_side_files.REPOSITORY, copy, ignore=ignore)
    monkeypatch.setattr(tracked_side_files, "REPOSITORY", copy)
    monkeypatch.setattr(tracked_side_files, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["configs", "--check"])
    return copy


def test_the_tracked_files_are_what_assembly_writes(repository: Path) -> None:
    assert tracked_side_files.main() == 0


def test_a_changed_a_missing_and_a_stale_file_are_named(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (repository / "image_classification" / "head_spec.json").open("a") as file:
        file.write("by hand\n")
    (repository / "imu_activity" / "passport.json").unlink()
    (repository / "old_head").mkdir()
    (repository / "old_head" / "head_spec.json").write_text("")
    assert tracked_side_files.main() == 1
    said = capsys.readouterr().err
    assert said.count("out of date") == 3
    assert "model_repo/image_classification/head_spec.json" in said
    assert "model_repo/imu_activity/passport.json" in said
    assert "model_repo/old_head" in said


def test_writing_brings_everything_up_to_date(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "imu_activity" / "passport.json").write_text("")
    (repository / "old_head").mkdir()
    (repository / "old_head" / "head_spec.json").write_text("")
    monkeypatch.setattr(sys, "argv", ["configs"])
    assert tracked_side_files.main() == 0
    monkeypatch.setattr(sys, "argv", ["configs", "--check"])
    assert tracked_side_files.main() == 0
