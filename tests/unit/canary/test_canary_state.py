from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from filelock import FileLock
from pydantic import ValidationError

from omnivec2.canary import canary_state
from omnivec2.canary.canary_state import (
    Canary,
    CanaryStatus,
    base_name,
    base_spec,
    candidate_name,
    end_canary,
    is_candidate,
    read_canaries,
    write_canary,
)
from omnivec2.errors import ArtifactError
from tests.support.model_repositories.tiny_models import classification

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
CANARY = Canary(route="imu/activity", version=2, share=5.0, started=NOW)


def test_a_candidate_has_the_name_of_its_head_with_a_suffix() -> None:
    assert candidate_name("imu_activity") == "imu_activity__candidate"
    assert [is_candidate(name) for name in ("imu_activity", "imu_activity__candidate")] == [0, 1]
    assert base_name("imu_activity__candidate") == base_name("imu_activity") == "imu_activity"
    assert base_spec(classification("imu/activity__candidate", "a")).route == "imu/activity"


def test_a_canary_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_canaries(tmp_path / "nowhere") == {}
    write_canary(tmp_path, CANARY)
    assert read_canaries(tmp_path) == {"imu/activity": CANARY}
    (tmp_path / ".canary_text_topic.json").write_text("{")
    assert read_canaries(tmp_path).keys() == {"imu/activity"}


def test_only_the_first_end_of_a_canary_is_recorded(tmp_path: Path) -> None:
    write_canary(tmp_path, CANARY)
    rolled_back = CanaryStatus.ROLLED_BACK
    assert end_canary(tmp_path, "text/topic", 2, rolled_back, "", "me") is None
    other = end_canary(tmp_path, "imu/activity", 1, rolled_back, "old", "me")
    assert other == CANARY, "another version runs by now"
    ended = end_canary(tmp_path, "imu/activity", 2, rolled_back, "slow", "one")
    assert ended is not None
    assert (ended.status, ended.reason, ended.by) == (rolled_back, "slow", "one")
    again = end_canary(tmp_path, "imu/activity", 2, CanaryStatus.PROMOTED, "", "another")
    assert again == ended == read_canaries(tmp_path)["imu/activity"]


def test_a_lock_that_is_held_for_long_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary_state, "_LOCK_SECONDS", 0.01)
    with (
        FileLock(tmp_path / ".canary.lock"),
        pytest.raises(ArtifactError, match="another process is changing its canaries"),
    ):
        write_canary(tmp_path, CANARY)


@pytest.mark.parametrize("fields", [{"share": 101}, {"version": 0}, {"route": "../x"}, {"a": 1}])
def test_a_canary_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Canary.model_validate(CANARY.model_dump() | fields)
