"""Listing and removing deployed heads, without a server; adding one is an integration test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.parity.agreement import relative_error
from export.repository.assembly import Record, read_record, write_record
from export.repository.layouts import Layout
from omnivec2.errors import ArtifactError, UnknownModelError
from rollout.candidate_check import CandidateCheck
from rollout.change_heads import remove_head
from rollout.deployed_heads import list_heads, read_deployed, users_of
from rollout.directory_swap import CANDIDATE_PREFIX, Swap, rolled_back_on_failure
from rollout.triton_control import TritonControl
from service.runtimes.embedded.repository_reader import read_repository
from tests.support.tiny_models import classification, write_repository

HEADS = [classification("text/sentiment", "no", "yes"), classification("text/topic", "a", "b", "c")]


@pytest.fixture(params=list(Layout))
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    root = write_repository(tmp_path / "repository", HEADS, request.param)
    write_record(root, Record(layout=request.param, models=tuple(read_deployed(root))))
    return root


def test_deployed_heads_are_listed_with_their_versions_and_parts(repository: Path) -> None:
    rows = list_heads(read_deployed(repository))
    assert [(row["route"], row["version"]) for row in rows] == [
        ("text/sentiment", 1),
        ("text/topic", 1),
    ]
    shared = read_record(repository).layout is Layout.SHARED
    assert bool(rows[0]["parts"]) == shared
    if shared:
        deployed = read_deployed(repository)
        assert users_of("trunk", deployed) == {"text_sentiment", "text_topic"}
        assert users_of("head_text_topic", deployed) == {"text_topic"}


def test_a_removed_head_takes_only_its_own_parts_with_it_and_stays_away(repository: Path) -> None:
    gone = remove_head("text/topic", repository)
    left = read_repository(repository)
    assert list(left.models) == ["text_sentiment"]
    assert left.refused == {}
    assert gone[0] == "text_topic"
    assert set(gone) <= read_record(repository).kept


def test_removing_a_head_that_is_not_there_names_those_that_are(repository: Path) -> None:
    with pytest.raises(UnknownModelError, match="has no head text/smell; it has text/sentiment"):
        remove_head("text/smell", repository)


def test_nothing_is_removed_while_a_server_does_not_answer(repository: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no Triton server at 127\.0\.0\.1:1"):
        remove_head("text/topic", repository, [TritonControl("127.0.0.1:1")])
    assert len(read_repository(repository).models) == len(HEADS)


def test_replaced_directories_are_restored_after_a_failure(tmp_path: Path) -> None:
    repository, staging = tmp_path / "repository", tmp_path / "staging"
    for root, text in ((repository, "old"), (staging, "new")):
        (root / "a" / "1").mkdir(parents=True)
        (root / "a" / "1" / "file").write_text(text)
    (staging / "b").mkdir()

    def fail() -> None:
        with rolled_back_on_failure(repository, staging, []) as swap:
            swap.place("a")
            swap.place("b")
            assert (repository / "a" / "1" / "file").read_text() == "new"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (repository / "a" / "1" / "file").read_text() == "old"
    assert not (repository / "b").exists()


def test_a_candidate_has_a_name_and_a_passport_of_its_own_and_no_route(tmp_path: Path) -> None:
    repository = write_repository(tmp_path / "repository", HEADS[:1], Layout.FUSED)
    staging = tmp_path / "staging"
    staging.mkdir()
    (repository / "text_sentiment").rename(staging / "text_sentiment")
    swap = Swap(repository, staging)
    config = (staging / "text_sentiment" / "config.pbtxt").read_text()
    name = f"{CANDIDATE_PREFIX}text_sentiment"
    swap.place_candidate("text_sentiment", CandidateCheck.candidate_config(config, name))
    candidate = read_deployed(repository)[name]
    assert (candidate.passport.model, candidate.head) == (name, None)
    assert read_repository(repository).models == {}
    swap.remove_candidate("text_sentiment")
    assert list(repository.glob("*/config.pbtxt")) == []


def test_an_answer_of_another_shape_or_with_nan_has_an_infinite_error() -> None:
    ones = np.ones((2, 3))
    assert relative_error(ones, ones) == 0.0
    assert relative_error(ones[:1], ones) == float("inf")
    assert relative_error(None, ones) == float("inf")
    assert relative_error(ones * float("nan"), ones) == float("inf")
