"""Adding heads to a repository, with and without a Triton server, and what is undone on failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from export.repository.assembly import assemble, read_record
from export.repository.layouts import Layout
from omnivec2.errors import ArtifactError, ExportError, ParityError, UnknownModelError
from rollout.change_heads import add_head, remove_head
from rollout.deployed_heads import read_deployed
from rollout.directory_swap import CANDIDATE_PREFIX
from rollout.triton_control import TritonControl
from service.runtimes.embedded.repository_reader import read_repository
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.model_repositories.tiny_models import classification
from tests.support.networks.writing import head_that_writes
from tests.support.triton.repository_triton import RepositoryTriton, repository_triton

ACTIVITY = classification("imu/activity", "walking", "sitting")
GESTURE = classification("imu/gesture", "wave", "clap", "point")
CANDIDATE = f"{CANDIDATE_PREFIX}imu_gesture"

Content = dict[str, bytes]


def content(repository: Path) -> Content:
    """Every file of the repository but its lock."""
    return {
        str(path.relative_to(repository)): path.read_bytes()
        for path in sorted(repository.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def versions(repository: Path) -> dict[str, tuple[int, ...]]:
    return {name: model.versions for name, model in read_deployed(repository).items()}


def assembled(folder: Path, layout: Layout) -> Path:
    """A repository of one head."""
    checkpoint = write_tiny_export(folder / "base", [ACTIVITY])
    assemble(checkpoint, folder / "repository", layout)
    return folder / "repository"


@pytest.fixture
def fused(tmp_path: Path) -> Path:
    return assembled(tmp_path, Layout.FUSED)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return assembled(tmp_path, Layout.SHARED)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A checkpoint with a second head on the same trunk."""
    return write_tiny_export(tmp_path / "other", [ACTIVITY, GESTURE], scale=2.0)


@pytest.fixture
def shared_server(shared: Path) -> Iterator[tuple[RepositoryTriton, TritonControl]]:
    with repository_triton(shared) as server, closing(TritonControl(server.address)) as control:
        server.load(*versions(shared))
        yield server, control


@pytest.fixture
def fused_server(fused: Path) -> Iterator[tuple[RepositoryTriton, TritonControl]]:
    with repository_triton(fused) as server, closing(TritonControl(server.address)) as control:
        server.load(*versions(fused))
        yield server, control


# --- without a server ---------------------------------------------------------------------


def test_a_head_in_one_piece_is_added_and_every_step_is_reported(fused: Path, other: Path) -> None:
    steps: list[str] = []
    added = add_head(other, "imu/gesture", fused, on_step=steps.append)
    assert (added.route, added.version, added.written) == ("imu/gesture", 1, {"imu_gesture": 1})
    assert steps == ["written beside: imu_gesture 1", "tried here: largest error 0.0e+00"]
    served = read_repository(fused)
    assert (set(served.models), served.refused) == ({"imu_activity", "imu_gesture"}, {})
    assert read_record(fused).added == ("imu_gesture",)


def test_only_parts_that_the_repository_lacks_are_written(shared: Path, other: Path) -> None:
    before = content(shared)
    added = add_head(other, "imu/gesture", shared)
    assert added.written == {"head_imu_gesture": 1, "imu_gesture": 1}
    after = content(shared)
    kept = {name: data for name, data in after.items() if name in before and name[0] != "."}
    assert kept == {name: data for name, data in before.items() if name[0] != "."}
    assert read_record(shared).added == ("head_imu_gesture", "imu_gesture")
    assert read_repository(shared).refused == {}


def test_a_head_that_is_replaced_counts_on_and_its_part_keeps_one_older_version(
    shared: Path, tmp_path: Path
) -> None:
    for version, scale in ((2, 3.0), (3, 4.0)):
        checkpoint = write_tiny_export(tmp_path / f"scaled {scale}", [ACTIVITY], scale=scale)
        added = add_head(checkpoint, "imu/activity", shared)
        assert added.written == {"head_imu_activity": version, "imu_activity": version}
    assert versions(shared)["head_imu_activity"] == (2, 3)
    assert versions(shared)["imu_activity"] == (3,)
    parts = read_deployed(shared)["imu_activity"].parts
    assert parts == {"tokenizer_imu": 1, "trunk": 1, "head_imu_activity": 3}
    assert read_repository(shared).refused == {}


def test_a_trunk_that_no_other_head_uses_may_be_replaced(shared: Path, tmp_path: Path) -> None:
    checkpoint = write_tiny_export(tmp_path / "retrained", [ACTIVITY], trunk_scale=2, whole_scale=2)
    assert add_head(checkpoint, "imu/activity", shared).written["trunk"] == 2
    assert versions(shared)["trunk"] == (1, 2)


def test_a_head_of_another_trunk_is_refused_while_others_use_the_old_one(
    shared: Path, tmp_path: Path
) -> None:
    before = content(shared)
    checkpoint = write_tiny_export(tmp_path / "retrained", [GESTURE], trunk_scale=2, whole_scale=2)
    with pytest.raises(ExportError, match=r"another trunk than the one in .* 1 other heads use"):
        add_head(checkpoint, "imu/gesture", shared)
    assert content(shared) == before


def test_a_head_that_answers_unlike_the_one_in_one_piece_is_refused(
    shared: Path, tmp_path: Path
) -> None:
    before = content(shared)
    checkpoint = write_tiny_export(tmp_path / "other", [GESTURE], whole_scale=1.5)
    with pytest.raises(ParityError, match="imu/gesture: with the parts that are deployed"):
        add_head(checkpoint, "imu/gesture", shared)
    assert content(shared) == before


def test_a_head_that_the_checkpoint_lacks_is_refused_with_those_it_has(
    fused: Path, other: Path
) -> None:
    with pytest.raises(UnknownModelError, match="no head imu/smell; it has imu/activity, imu/gest"):
        add_head(other, "imu/smell", fused)


def test_nothing_is_made_where_there_is_no_repository(other: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no model repository"):
        add_head(other, "imu/gesture", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_head_that_writes_text_is_tied_to_the_version_of_its_decoder(
    fused: Path, tmp_path: Path
) -> None:
    writer = head_that_writes(range(100, 110))
    checkpoint = write_tiny_export(tmp_path / "writer", [writer])
    decoder = "decoder_text_summarization"
    steps: list[str] = []
    added = add_head(checkpoint, writer.route, fused, on_step=steps.append)
    assert added.written == {decoder: 1, "text_summarization": 1}
    again = write_tiny_export(
        tmp_path / "more words", [head_that_writes(range(100, 120))], scale=2.0
    )
    assert add_head(again, writer.route, fused).written == {decoder: 2, "text_summarization": 2}
    assert read_deployed(fused)["text_summarization"].needs == {decoder: 2}
    assert versions(fused)[decoder] == (1, 2)
    assert remove_head(writer.route, fused) == ["text_summarization", decoder]


# --- with a server ------------------------------------------------------------------------


def test_parts_are_compared_on_the_server_before_the_head_is_switched(
    shared: Path, other: Path, shared_server: tuple[RepositoryTriton, TritonControl]
) -> None:
    server, control = shared_server
    steps: list[str] = []
    add_head(other, "imu/gesture", shared, [control], steps.append)
    assert server.requests == [("load", "head_imu_gesture"), ("load", "imu_gesture")]
    assert server.loaded["imu_gesture"] == {1}
    assert steps[2:] == [f"compared on {server.address}", f"switched on {server.address}"]


def test_a_head_in_one_piece_is_compared_under_a_name_of_its_own_which_is_then_unloaded(
    fused: Path, other: Path, fused_server: tuple[RepositoryTriton, TritonControl]
) -> None:
    server, control = fused_server
    add_head(other, "imu/gesture", fused, [control])
    assert server.requests == [
        ("load", CANDIDATE),
        ("unload", CANDIDATE),
        ("load", "imu_gesture"),
    ]
    assert set(server.loaded) == {"imu_activity", "imu_gesture"}
    assert not (fused / CANDIDATE).exists()


def test_a_part_that_a_server_refuses_is_taken_back_and_unloaded(
    shared: Path, other: Path, shared_server: tuple[RepositoryTriton, TritonControl]
) -> None:
    server, control = shared_server
    before = content(shared)
    server.refused["head_imu_gesture"] = "out of memory\nTraceback of the backend"
    message = f"Triton at {server.address} refuses head_imu_gesture: out of memory$"
    with pytest.raises(ExportError, match=message):
        add_head(other, "imu/gesture", shared, [control])
    assert content(shared) == before
    assert server.requests[-1] == ("unload", "head_imu_gesture")


def test_a_head_that_a_server_answers_differently_is_rolled_back_to_the_old_version(
    shared: Path, tmp_path: Path, shared_server: tuple[RepositoryTriton, TritonControl]
) -> None:
    server, control = shared_server
    before = content(shared)
    server.factors["imu_activity"] = 1.01
    checkpoint = write_tiny_export(tmp_path / "better", [ACTIVITY], scale=3.0)
    with pytest.raises(ParityError, match=r"imu_activity 2 on .* answers unlike here: logits"):
        add_head(checkpoint, "imu/activity", shared, [control])
    assert content(shared) == before
    assert server.loaded["imu_activity"] == server.loaded["head_imu_activity"] == {1}
    assert server.requests[-2:] == [("load", "head_imu_activity"), ("load", "imu_activity")]


def test_a_candidate_that_a_server_answers_differently_never_replaces_the_old_head(
    fused: Path, other: Path, fused_server: tuple[RepositoryTriton, TritonControl]
) -> None:
    server, control = fused_server
    before = content(fused)
    server.factors[CANDIDATE] = 1.01
    server.pinned[CANDIDATE] = "busy"  # which must not hide why the head is refused
    with pytest.raises(ParityError, match=f"{CANDIDATE} 1 on .* answers unlike here"):
        add_head(other, "imu/gesture", fused, [control])
    assert content(fused) == before
    assert server.requests == [("load", CANDIDATE), ("unload", CANDIDATE)]


def test_the_decoder_is_compared_on_the_server_too(
    fused: Path, tmp_path: Path, fused_server: tuple[RepositoryTriton, TritonControl]
) -> None:
    server, control = fused_server
    before = content(fused)
    writer = head_that_writes(range(100, 110))
    checkpoint = write_tiny_export(tmp_path / "writer", [writer])
    server.factors["decoder_text_summarization"] = 1.01
    with pytest.raises(
        ParityError, match=r"decoder_text_summarization 1 on .* differs by 1\.0e-02"
    ):
        add_head(checkpoint, writer.route, fused, [control])
    assert content(fused) == before
    server.factors.clear()
    add_head(checkpoint, writer.route, fused, [control])
    assert set(server.loaded) == {
        "imu_activity",
        "text_summarization",
        "decoder_text_summarization",
    }


def test_every_server_must_answer_before_anything_is_written(
    shared: Path, other: Path, shared_server: tuple[RepositoryTriton, TritonControl]
) -> None:
    server, control = shared_server
    before = content(shared)
    with (
        closing(TritonControl("127.0.0.1:1")) as absent,
        pytest.raises(ArtifactError, match=r"no Triton server at 127\.0\.0\.1:1"),
    ):
        add_head(other, "imu/gesture", shared, [control, absent])
    assert (content(shared), server.requests) == (before, [])


def test_a_removed_head_is_unloaded_with_its_own_parts(
    shared: Path, shared_server: tuple[RepositoryTriton, TritonControl], other: Path
) -> None:
    server, control = shared_server
    add_head(other, "imu/gesture", shared, [control])
    removed = remove_head("imu/gesture", shared, [control])
    assert removed == ["imu_gesture", "head_imu_gesture"]
    assert set(server.loaded) == {"imu_activity", "head_imu_activity", "trunk", "tokenizer_imu"}
    assert not any((shared / name).exists() for name in removed)
    assert read_record(shared).added == ()


def test_a_head_that_was_removed_can_be_added_again(shared: Path, other: Path) -> None:
    remove_head("imu/activity", shared)
    assert "imu_activity" in read_record(shared).removed
    add_head(other, "imu/activity", shared)
    record = read_record(shared)
    assert "imu_activity" in record.added
    assert not set(record.removed) & set(record.added)
