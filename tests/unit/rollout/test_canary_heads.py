"""A new version of a head beside the served one, in both layouts, with and without a server."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from export.repository.assembly import assemble, read_record
from export.repository.layouts import Layout
from omnivec2.canary.canary_state import CanaryLimits, CanaryPlan, CanaryStatus, read_canaries
from omnivec2.errors import ExportError, UnknownModelError
from omnivec2.spec import HeadSpec, TaskFamily
from rollout.canary_heads import add_candidate, promote, read_status, roll_back
from rollout.change_heads import add_head, remove_head
from rollout.deployed_heads import list_heads, read_deployed
from rollout.triton_control import TritonControl
from service.runtimes.embedded.repository_reader import read_repository
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.model_repositories.tiny_models import classification, head_spec
from tests.support.networks.writing import head_that_writes
from tests.support.triton.repository_triton import repository_triton

ROUTE = "imu/activity"
ACTIVITY = classification(ROUTE, "walking", "sitting")
SWAPPED = classification(ROUTE, "sitting", "walking")
TENTH = CanaryPlan(share=10.0)


@pytest.fixture(params=Layout)
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return assembled(tmp_path, request.param)


def assembled(folder: Path, layout: Layout, head: HeadSpec = ACTIVITY) -> Path:
    assemble(write_tiny_export(folder / "base", [head]), folder / "repository", layout)
    return folder / "repository"


def other(folder: Path, head: HeadSpec = SWAPPED, scale: float = 2.0) -> Path:
    return write_tiny_export(
        folder / f"other {scale} {head.route.replace('/', ' ')}", [head], scale=scale
    )


def names(repository: Path) -> dict[str, tuple[int, ...]]:
    return {name: model.versions for name, model in read_deployed(repository).items()}


def test_a_candidate_is_a_model_of_its_own_on_the_same_parts(tmp_path: Path) -> None:
    repository = assembled(tmp_path, Layout.SHARED)
    before = names(repository)
    canary = add_candidate(other(tmp_path), ROUTE, repository, TENTH)
    assert (canary.version, canary.share, canary.is_running) == (2, 10.0, True)
    assert read_canaries(repository) == {ROUTE: canary}
    new = {"head_imu_activity__candidate": (2,), "imu_activity__candidate": (2,)}
    assert names(repository) == before | new
    parts = read_deployed(repository)["imu_activity__candidate"].parts
    assert parts == {"tokenizer_imu": 1, "trunk": 1, "head_imu_activity__candidate": 2}
    assert set(read_record(repository).added) == new.keys()
    read = read_repository(repository, only=[ROUTE])
    assert (set(read.models), read.refused) == ({"imu_activity", "imu_activity__candidate"}, {})
    (row,) = list_heads(read_deployed(repository), read_canaries(repository))
    assert row["canary"] == "version 2 at 10 %"


def test_a_promoted_candidate_is_the_next_version_of_the_head(
    repository: Path, tmp_path: Path
) -> None:
    parts = set(names(repository))
    add_candidate(other(tmp_path), ROUTE, repository, TENTH)
    steps: list[str] = []
    assert promote(ROUTE, repository, on_step=steps.append).status is CanaryStatus.PROMOTED
    assert any("tried here" in step for step in steps)
    assert set(names(repository)) == parts
    model = read_repository(repository).models["imu_activity"]
    assert (model.version, model.spec.task, model.spec.labels) == ("2", "activity", SWAPPED.labels)
    assert not any("candidate" in name for name in read_record(repository).added)
    (row,) = list_heads(read_deployed(repository), read_canaries(repository))
    assert (row["version"], row["canary"]) == (2, None)
    with pytest.raises(ExportError, match="version 2 of imu/activity was promoted at"):
        promote(ROUTE, repository)
    # What is added next counts on.
    assert add_candidate(other(tmp_path, ACTIVITY, 3.0), ROUTE, repository, TENTH).version == 3


def test_a_candidate_that_is_rolled_back_leaves_nothing_but_the_reason(
    repository: Path, tmp_path: Path
) -> None:
    before, record = names(repository), read_record(repository)
    add_candidate(other(tmp_path), ROUTE, repository, CanaryPlan(shadow=True, share=1))
    assert "and shadow" in str(
        list_heads(read_deployed(repository), read_canaries(repository))[0]["canary"]
    )
    canary = roll_back(ROUTE, repository, "misses half")
    assert (canary.status, canary.reason) == (CanaryStatus.ROLLED_BACK, "misses half")
    assert (names(repository), read_record(repository)) == (before, record)
    assert read_status(ROUTE, repository) == (canary, "1")
    (row,) = list_heads(read_deployed(repository), read_canaries(repository))
    assert row["canary"] == "version 2 rolled back"
    with pytest.raises(ExportError, match=r"was rolled back at .* UTC: misses half"):
        roll_back(ROUTE, repository, "again")
    # A version that was rolled back is not the name of another one.
    assert add_candidate(other(tmp_path, scale=3.0), ROUTE, repository, TENTH).version == 3


def test_a_head_with_a_canary_is_not_changed_otherwise(repository: Path, tmp_path: Path) -> None:
    add_candidate(other(tmp_path), ROUTE, repository, TENTH)
    checkpoint = other(tmp_path, scale=3.0)
    with pytest.raises(ExportError, match="has a canary already"):
        add_candidate(checkpoint, ROUTE, repository, TENTH)
    with pytest.raises(ExportError, match="end it first"):
        add_head(checkpoint, ROUTE, repository)
    with pytest.raises(ExportError, match="end it first"):
        remove_head(ROUTE, repository)


def test_only_a_head_that_is_served_has_a_canary(repository: Path, tmp_path: Path) -> None:
    gesture = classification("imu/gesture", "wave", "clap")
    checkpoint = other(tmp_path, gesture)
    with pytest.raises(UnknownModelError, match="no head imu/gesture to compare a canary with"):
        add_candidate(checkpoint, "imu/gesture", repository, TENTH)
    for call in (promote, read_status):
        with pytest.raises(UnknownModelError, match=r"imu/activity has no canary in .*; no head"):
            call(ROUTE, repository)


def test_other_labels_are_refused(repository: Path, tmp_path: Path) -> None:
    before = names(repository)
    checkpoint = other(tmp_path, classification(ROUTE, "walking", "lying"))
    with pytest.raises(ExportError, match="differs in its labels, so callers"):
        add_candidate(checkpoint, ROUTE, repository, TENTH)
    assert (names(repository), read_canaries(repository)) == (before, {})


def test_another_trunk_is_refused(tmp_path: Path) -> None:
    repository = assembled(tmp_path, Layout.SHARED)
    checkpoint = write_tiny_export(tmp_path / "x", [ACTIVITY], trunk_scale=2, whole_scale=2)
    with pytest.raises(ExportError, match="another trunk; a canary shares the deployed one"):
        add_candidate(checkpoint, ROUTE, repository, TENTH)


def test_vectors_of_two_versions_are_not_mixed(tmp_path: Path) -> None:
    vectors = head_spec("imu/retrieval", TaskFamily.EMBEDDING, {"embedding": (4,)})
    repository = assembled(tmp_path, Layout.SHARED, vectors)
    checkpoint = other(tmp_path, vectors)
    with pytest.raises(ExportError, match="use --shadow without --share"):
        add_candidate(checkpoint, "imu/retrieval", repository, TENTH)
    assert add_candidate(checkpoint, "imu/retrieval", repository, CanaryPlan(shadow=True)).shadow


def test_the_decoder_of_a_head_that_writes_is_a_candidate_too(tmp_path: Path) -> None:
    head = head_that_writes([7, 8, 9])
    repository = assembled(tmp_path, Layout.FUSED, head)
    checkpoint = other(tmp_path, head)
    limits = CanaryLimits(max_disagreement=1.0)
    add_candidate(checkpoint, head.route, repository, CanaryPlan(share=5, limits=limits))
    assert read_repository(repository).refused == {}
    promote(head.route, repository)
    read = read_repository(repository)
    assert (list(read.models), read.refused) == ([head.name], {})


@pytest.mark.parametrize("layout", Layout)
def test_servers_have_both_versions_until_one_is_gone(layout: Layout, tmp_path: Path) -> None:
    repository = assembled(tmp_path, layout)
    with repository_triton(repository) as server, closing(TritonControl(server.address)) as control:
        server.load(*names(repository))
        add_candidate(other(tmp_path), ROUTE, repository, TENTH, [control])
        assert server.loaded["imu_activity__candidate"] == {2}
        assert server.loaded["imu_activity"] == {1}
        promote(ROUTE, repository, [control])
        assert server.loaded["imu_activity"] == {2}
        add_candidate(other(tmp_path, scale=3.0), ROUTE, repository, TENTH, [control])
        roll_back(ROUTE, repository, "", [control])
        assert not any("candidate" in name for name in server.loaded)
        assert server.loaded["imu_activity"] == {2}
