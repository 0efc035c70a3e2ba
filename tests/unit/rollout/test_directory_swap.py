"""Directories that are moved into a repository, and back when something fails."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from export.repository.layouts import Layout
from rollout.candidate_check import CandidateCheck
from rollout.deployed_heads import read_deployed
from rollout.directory_swap import CANDIDATE_PREFIX, Swap, rolled_back_on_failure
from rollout.triton_control import TritonControl
from service.runtimes.embedded.repository_reader import read_repository
from tests.support.model_repositories.tiny_models import classification, write_repository
from tests.support.triton.repository_triton import RepositoryTriton, repository_triton

SENTIMENT = classification("text/sentiment", "no", "yes")


def write(root: Path, *names: str, text: str) -> None:
    for name in names:
        (root / name / "1").mkdir(parents=True)
        (root / name / "1" / "file").write_text(text)


def texts(root: Path) -> dict[str, str]:
    return {path.parts[-3]: path.read_text() for path in root.glob("*/1/file")}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A repository with ``a``, and new versions of ``a`` and ``b`` beside it."""
    repository, staging = tmp_path / "repository", tmp_path / "staging"
    write(repository, "a", text="old")
    write(staging, "a", "b", text="new")
    return repository, staging


def place_and_fail(
    folders: tuple[Path, Path], error: BaseException, *servers: TritonControl
) -> None:
    """Put ``a`` and ``b`` in place, then raise."""
    with rolled_back_on_failure(*folders, servers) as swap:
        swap.place("a")
        swap.place("b")
        assert texts(folders[0]) == {"a": "new", "b": "new"}
        raise error


def test_what_is_in_place_stays_when_nothing_fails(folders: tuple[Path, Path]) -> None:
    with rolled_back_on_failure(*folders, []) as swap:
        swap.place("a")
    assert texts(folders[0]) == {"a": "new"}
    assert swap.placed == ["a"]


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_what_was_put_in_place_is_put_back_when_something_fails(
    folders: tuple[Path, Path], error: BaseException
) -> None:
    with pytest.raises(type(error)):
        place_and_fail(folders, error)
    assert texts(folders[0]) == {"a": "old"}
    assert not (folders[0] / "b").exists()


def test_a_directory_that_was_never_staged_leaves_the_old_one_after_the_roll_back(
    folders: tuple[Path, Path],
) -> None:
    write(folders[0], "c", text="old")

    def place() -> None:
        with rolled_back_on_failure(*folders, []) as swap:
            swap.place("c")

    with pytest.raises(FileNotFoundError):
        place()
    assert texts(folders[0]) == {"a": "old", "c": "old"}


def test_servers_load_again_what_was_there_and_unload_what_was_not(tmp_path: Path) -> None:
    repository = write_repository(tmp_path / "repository", [SENTIMENT])
    staging = write_repository(
        tmp_path / "staging", [SENTIMENT, classification("text/topic", "a", "b")], scale=2.0
    )
    with (
        repository_triton(repository) as server,
        closing(TritonControl(server.address)) as control,
        closing(TritonControl("127.0.0.1:1")) as absent,
    ):
        with pytest.raises(RuntimeError, match="the comparison"):
            load_and_fail(repository, staging, server, [absent, control])
        assert set(server.loaded) == {"text_sentiment"}
        assert server.requests == [("load", "text_sentiment"), ("unload", "text_topic")]


def load_and_fail(
    repository: Path, staging: Path, server: RepositoryTriton, controls: list[TritonControl]
) -> None:
    with rolled_back_on_failure(repository, staging, controls) as swap:
        for name in ("text_sentiment", "text_topic"):
            swap.place(name)
            server.load(name)
        raise RuntimeError("the comparison")


def test_a_candidate_has_a_name_and_a_passport_of_its_own_and_no_route(tmp_path: Path) -> None:
    repository = write_repository(tmp_path / "repository", [SENTIMENT], Layout.FUSED)
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
    # The staged model, whose files the candidate links to, is as it was.
    assert (staging / "text_sentiment" / "config.pbtxt").read_text() == config
    assert read_deployed(staging)["text_sentiment"].passport.model == "text_sentiment"
    swap.remove_candidate("text_sentiment")
    assert list(repository.glob("*/config.pbtxt")) == []
