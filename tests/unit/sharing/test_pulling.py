"""Pushing to and pulling from a directory: digests, interruptions, replacement."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import CheckpointError, InvalidInputError
from omnivec2.sharing.manifest import MANIFEST_FILE, parse_manifest
from omnivec2.sharing.outgoing import gather
from omnivec2.sharing.pulling import pull
from omnivec2.sharing.stores import open_store
from omnivec2.sharing.stores.base import StoreError
from omnivec2.sharing.stores.directory import DirectoryStore
from tests.support.checkpoints.shared_checkpoints import (
    WEIGHTS,
    BreakingStore,
    ignore_progress,
    same_files,
    small_checkpoint,
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return small_checkpoint(tmp_path / "mine")


def push(checkpoint: Path, place: Path) -> int:
    return DirectoryStore(place).publish(gather(checkpoint, "mine"), ignore_progress)


def test_what_is_pulled_is_what_was_pushed(checkpoint: Path, tmp_path: Path) -> None:
    sent = push(checkpoint, tmp_path / "place")
    pulled, fetched = pull(open_store(str(tmp_path / "place")), tmp_path / "here", ignore_progress)
    assert same_files(checkpoint, tmp_path / "here")
    assert pulled.digest == read_checkpoint(checkpoint).digest
    assert (tmp_path / "here" / "README.md").read_text().startswith("---\nlibrary_name: omnivec2")
    assert sent == fetched == 6
    assert not list(tmp_path.glob(".pull-*"))
    assert not (checkpoint / "README.md").exists()


def test_nothing_is_moved_twice(checkpoint: Path, tmp_path: Path) -> None:
    place, here = tmp_path / "place", tmp_path / "here"
    push(checkpoint, place)
    assert push(checkpoint, place) == 0
    pull(DirectoryStore(place), here, ignore_progress)
    assert pull(DirectoryStore(place), here, ignore_progress)[1] == 0


def test_a_card_of_ones_own_is_sent_and_other_files_are_not(
    checkpoint: Path, tmp_path: Path
) -> None:
    (checkpoint / "README.md").write_text("# Mine\n")
    for name in ("optimizer.pt", ".env", "models/notes.pkl"):
        (checkpoint / name).write_bytes(b"x")
    outgoing = gather(checkpoint, "mine")
    assert outgoing.left_out == (".env", "models/notes.pkl", "optimizer.pt")
    push(checkpoint, tmp_path / "place")
    assert (tmp_path / "place" / "README.md").read_text() == "# Mine\n"
    assert not (tmp_path / "place" / "optimizer.pt").exists()


def test_an_interrupted_pull_goes_on_where_it_was(checkpoint: Path, tmp_path: Path) -> None:
    push(checkpoint, tmp_path / "place")
    store = BreakingStore(tmp_path / "place", breaks_after=7)
    with pytest.raises(StoreError, match="broke"):
        pull(store, tmp_path / "here", ignore_progress)
    assert not (tmp_path / "here").exists()
    store.breaks_after = None
    pull(store, tmp_path / "here", ignore_progress)
    assert store.offsets == [0, 7000]
    assert same_files(checkpoint, tmp_path / "here")


def test_what_is_left_of_another_version_is_fetched_anew(checkpoint: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    push(checkpoint, place)
    store = BreakingStore(place, breaks_after=7)
    with pytest.raises(StoreError, match="broke"):
        pull(store, tmp_path / "here", ignore_progress)
    push(small_checkpoint(tmp_path / "other", seed=1), place)
    store.breaks_after = None
    pull(store, tmp_path / "here", ignore_progress)
    assert store.offsets == [0, 7000, 0]
    assert same_files(tmp_path / "other", tmp_path / "here")


def test_a_new_version_replaces_the_old_one_whole(checkpoint: Path, tmp_path: Path) -> None:
    place, here = tmp_path / "place", tmp_path / "here"
    push(checkpoint, place)
    pull(DirectoryStore(place), here, ignore_progress)
    other = small_checkpoint(tmp_path / "other", seed=1)
    (other / "models" / "text_sentiment" / "model.onnx").unlink()
    push(other, place)
    store = BreakingStore(place, breaks_after=3)
    with pytest.raises(StoreError, match="broke"):
        pull(store, here, ignore_progress)
    assert same_files(checkpoint, here)
    store.breaks_after = None
    pull(store, here, ignore_progress)
    assert same_files(other, here)
    assert not (here / "models" / "text_sentiment" / "model.onnx").exists()


def test_a_file_that_was_changed_is_refused_by_its_digest(checkpoint: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    push(checkpoint, place)
    weights = bytearray((place / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (place / WEIGHTS).write_bytes(weights)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is not the file"):
        pull(DirectoryStore(place), tmp_path / "here", ignore_progress)
    assert not (tmp_path / "here").exists()
    (place / WEIGHTS).write_bytes(bytes(weights) + b"more")
    with pytest.raises(CheckpointError, match="sha256 or size"):
        pull(DirectoryStore(place), tmp_path / "here", ignore_progress)
    (place / WEIGHTS).write_bytes(weights[:-1])
    with pytest.raises(StoreError, match="ended after"):
        pull(DirectoryStore(place), tmp_path / "here", ignore_progress)


def test_weights_that_are_a_pickle_are_refused_and_not_read(
    checkpoint: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    (checkpoint / "parts.safetensors").write_bytes(b"\x80\x04cos\nsystem\n(S'touch x'\ntR.")
    push(checkpoint, place)
    with pytest.raises(CheckpointError, match="no whole safetensors"):
        pull(DirectoryStore(place), tmp_path / "here", ignore_progress)


def test_heads_of_other_weights_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    push(checkpoint, place)
    other = small_checkpoint(tmp_path / "other", seed=1)
    head = "models/text_sentiment/head.json"
    (place / head).write_bytes((other / head).read_bytes())
    manifest = parse_manifest((place / MANIFEST_FILE).read_bytes(), "place")
    listed = gather(other, "other").manifest.by_path[head]
    files = tuple(listed if file.path == head else file for file in manifest.files)
    (place / MANIFEST_FILE).write_bytes(manifest.model_copy(update={"files": files}).to_json())
    with pytest.raises(CheckpointError, match="belongs to other weights"):
        pull(DirectoryStore(place), tmp_path / "here", ignore_progress)


def test_directories_that_hold_something_else_are_left_alone(
    checkpoint: Path, tmp_path: Path
) -> None:
    push(checkpoint, tmp_path / "place")
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="was not pulled"):
        pull(DirectoryStore(tmp_path / "place"), tmp_path / "here", ignore_progress)
    with pytest.raises(StoreError, match="no shared checkpoint"):
        push(checkpoint, tmp_path / "there")
    with pytest.raises(StoreError, match=r"holds no manifest\.json"):
        pull(DirectoryStore(tmp_path / "there"), tmp_path / "new", ignore_progress)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        gather(tmp_path / "there", "mine")


@pytest.mark.parametrize(
    "address", ["ftp://host/x", "hf://no-name", "file://host/x", "s3://bucket"]
)
def test_an_address_that_is_not_understood_is_refused(address: str) -> None:
    with pytest.raises(InvalidInputError, match="expected"):
        open_store(address)


def test_a_file_address_is_a_directory(tmp_path: Path) -> None:
    assert open_store(f"file://{tmp_path}/a%20b").address == str(tmp_path / "a b")
