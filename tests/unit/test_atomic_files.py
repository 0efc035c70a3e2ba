from __future__ import annotations

import os
from pathlib import Path

import pytest

from omnivec2.atomic_files import link_or_copy, recover_directory, replacing_directory, write_file


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_written_file_is_whole_and_readable_by_others(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"old")
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    assert names(tmp_path) == ["a"]


def test_a_directory_takes_the_place_of_the_old_one_only_on_success(tmp_path: Path) -> None:
    target = tmp_path / "d"
    with replacing_directory(target) as staging:
        (staging / "old").touch()
    with pytest.raises(RuntimeError), replacing_directory(target) as staging:  # noqa: PT012
        (staging / "new").touch()
        raise RuntimeError
    assert names(target) == ["old"]
    with replacing_directory(target) as staging:
        (staging / "new").touch()
    assert names(target) == ["new"]
    assert names(tmp_path) == ["d"]


def test_a_directory_killed_between_the_renames_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".retired-d").mkdir()
    recover_directory(tmp_path / "d")
    assert names(tmp_path) == ["d"]


def test_a_retired_directory_beside_its_successor_is_dropped_by_the_next_writer(
    tmp_path: Path,
) -> None:
    (tmp_path / ".retired-d").mkdir()
    (tmp_path / ".retired-d" / "left").touch()
    (tmp_path / "d").mkdir()
    with replacing_directory(tmp_path / "d") as staging:
        (staging / "new").touch()
    assert names(tmp_path) == ["d"]
    assert names(tmp_path / "d") == ["new"]


def test_a_file_is_linked_or_else_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"content")
    link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").samefile(tmp_path / "b")

    def refuse(source: object, target: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == b"content"
    assert not (tmp_path / "a").samefile(tmp_path / "c")
