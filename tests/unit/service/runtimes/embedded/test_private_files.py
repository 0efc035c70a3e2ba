"""The copies that are served in the place of a repository's files."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path

import pytest

from omnivec2.errors import PassportError
from omnivec2.passport import Passport
from service.runtimes.embedded.private_files import PrivateFiles
from tests.support.checkpoints.pretend_exports import make_passport

FILES = {"model.onnx": b"graph", "weights.safetensors": b"weights" * 1000}


def make_version(root: Path, name: str = "trunk", **others: bytes) -> tuple[Path, Passport]:
    """Write a version directory and return it with its passport."""
    version = root / name / "1"
    version.mkdir(parents=True)
    files = {**FILES, **others}
    for file, data in files.items():
        (version / file).write_bytes(data)
    digests = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
    return version, make_passport(name, digests["weights.safetensors"], files=digests)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_file_that_is_written_into_does_not_change_what_is_served(
    tmp_path: Path, cache: Path
) -> None:
    version, passport = make_version(tmp_path)
    directory = PrivateFiles(cache).directory_of(version, passport)
    assert directory != version
    with (version / "weights.safetensors").open("r+b") as file:
        file.truncate(10)
    assert {name: (directory / name).read_bytes() for name in FILES} == FILES
    assert os.stat(directory / "weights.safetensors").st_mode & 0o222 == 0


def test_models_and_processes_share_one_copy_of_their_weights(tmp_path: Path, cache: Path) -> None:
    first = PrivateFiles(cache).directory_of(*make_version(tmp_path, "trunk"))
    second = PrivateFiles(cache).directory_of(*make_version(tmp_path, "head_a"))
    again = PrivateFiles(cache).directory_of(*make_version(tmp_path / "another", "trunk"))
    assert first == again != second
    inodes = {(place / "weights.safetensors").stat().st_ino for place in (first, second)}
    assert len(inodes) == 1


def test_a_file_that_is_not_what_its_passport_says_is_refused(tmp_path: Path, cache: Path) -> None:
    version, passport = make_version(tmp_path)
    (version / "weights.safetensors").write_bytes(b"others")
    with pytest.raises(PassportError, match="not the file its passport"):
        PrivateFiles(cache).directory_of(version, passport)
    assert not list((cache / "served" / "files").glob(".copy-*"))


def test_a_copy_that_was_damaged_is_made_again(tmp_path: Path, cache: Path) -> None:
    version, passport = make_version(tmp_path)
    directory = PrivateFiles(cache).directory_of(version, passport)
    damaged = directory / "weights.safetensors"
    damaged.chmod(0o644)
    damaged.write_bytes(b"damaged")
    assert PrivateFiles(cache).directory_of(version, passport) == directory
    assert damaged.read_bytes() == FILES["weights.safetensors"]


def test_graphs_without_weights_beside_them_are_not_copied(tmp_path: Path, cache: Path) -> None:
    version, passport = make_version(tmp_path)
    files = {"model.onnx": passport.files["model.onnx"]}
    only_graph = passport.model_copy(update={"files": files})
    assert PrivateFiles(cache).directory_of(version, only_graph) == version
    assert not cache.exists()


def test_where_nothing_can_be_written_the_repository_is_served_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("a file in the place of the directory")
    files = PrivateFiles(blocked)
    caplog.set_level(logging.WARNING)
    for name in ("trunk", "head_a"):
        version, passport = make_version(tmp_path, name)
        assert files.directory_of(version, passport) == version
    assert len([record for record in caplog.records if "mapped" in record.getMessage()]) == 1


def test_a_full_disk_leaves_no_part_of_a_copy(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    monkeypatch.setattr("fcntl.ioctl", full)
    version, passport = make_version(tmp_path)
    assert PrivateFiles(cache).directory_of(version, passport) == version
    assert list((cache / "served" / "files").iterdir()) == []


def test_copies_that_nothing_has_needed_for_long_are_removed(tmp_path: Path, cache: Path) -> None:
    files = PrivateFiles(cache)
    old = files.directory_of(*make_version(tmp_path, "trunk"))
    new = files.directory_of(*make_version(tmp_path, "head_a"))
    long_ago = time.time() - 40 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    files.sweep()
    assert not old.exists()
    assert (new / "weights.safetensors").read_bytes() == FILES["weights.safetensors"]
