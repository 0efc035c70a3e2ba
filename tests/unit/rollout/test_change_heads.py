"""What a repository holds, and how heads are removed from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.parity.agreement import relative_error
from export.repository.assembly import Record, read_record, write_record
from export.repository.layouts import Layout
from omnivec2.errors import ArtifactError, UnknownModelError
from rollout.change_heads import remove_head
from rollout.deployed_heads import list_heads, read_deployed, users_of
from rollout.triton_control import TritonControl
from service.runtimes.embedded.repository_reader import read_repository
from tests.support.model_repositories.tiny_models import classification, write_repository

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


def test_models_that_cannot_be_read_are_left_out_of_what_is_deployed(repository: Path) -> None:
    before = read_deployed(repository)
    (repository / "text_sentiment" / "config.pbtxt").write_text("name: {")
    (repository / "text_topic" / "1").rename(repository / "text_topic" / "latest")
    assert read_deployed(repository).keys() == before.keys() - {"text_sentiment", "text_topic"}
    with pytest.raises(ArtifactError, match="nowhere: no model repository"):
        read_deployed(repository / "nowhere")


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


def test_an_answer_of_another_shape_or_without_a_number_is_infinitely_wrong() -> None:
    ones = np.ones((2, 3))
    assert relative_error(ones, ones) == 0.0
    assert relative_error(ones[:1], ones) == float("inf")
    assert relative_error(None, ones) == float("inf")
    assert relative_error(ones * float("nan"), ones) == float("inf")
