from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from export.repository import checked_in_configs
from export.repository.layouts import Layout


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Layout, Path]:
    copies = {layout: tmp_path / layout.value for layout in Layout}
    for layout, place in checked_in_configs.PLACES.items():
        ignore = shutil.ignore_patterns("[0-9]*", ".*")
        shutil.copytree(place, copies[layout], ignore=ignore)
    monkeypatch.setattr(checked_in_configs, "PLACES", copies)
    monkeypatch.setattr(checked_in_configs, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["configs", "--check"])
    return copies


def test_the_checked_in_configurations_are_what_the_exporter_writes(
    places: dict[Layout, Path],
) -> None:
    assert checked_in_configs.main() == 0


def test_a_changed_a_missing_and_a_stale_configuration_are_named(
    places: dict[Layout, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    shared = places[Layout.SHARED]
    with (shared / "trunk" / "config.pbtxt").open("a") as file:
        file.write("# by hand\n")
    (places[Layout.FUSED] / "imu_activity" / "config.pbtxt").unlink()
    (shared / "old_head").mkdir()
    (shared / "old_head" / "config.pbtxt").write_text("")
    assert checked_in_configs.main() == 1
    said = capsys.readouterr().err
    assert said.count("out of date") == 3
    assert "shared/trunk/config.pbtxt" in said
    assert "fused/imu_activity" in said
    assert "shared/old_head" in said


def test_writing_brings_everything_up_to_date(
    places: dict[Layout, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (places[Layout.SHARED] / "trunk" / "config.pbtxt").write_text("")
    monkeypatch.setattr(sys, "argv", ["configs"])
    assert checked_in_configs.main() == 0
    monkeypatch.setattr(sys, "argv", ["configs", "--check"])
    assert checked_in_configs.main() == 0
