"""``omnivec2 head``: what the command prints, and how it ends when a head cannot be changed."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from service.runtimes.embedded.repository_reader import read_repository
from tests.support.checkpoints.pretend_exports import make_checkpoint
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.command_line import run
from tests.support.model_repositories.tiny_models import classification


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "checkpoint", "activity", "gesture")


@pytest.fixture
def repository(checkpoint: Path, tmp_path: Path) -> Path:
    assemble(checkpoint, tmp_path / "repository", Layout.SHARED)
    return tmp_path / "repository"


@contextmanager
def gateway(listed: object) -> Iterator[str]:
    """A server that answers every GET with this JSON."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(listed).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_heads_of_a_repository_are_listed_with_versions_and_parts(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = run("head", "list", "--model-repo", repository)
    assert result.exit_code == 0, result.output
    assert "2 heads" in result.stdout
    assert all(word in result.stdout for word in ("imu/activity", "imu/gesture", "trunk 1"))


def test_a_list_as_json_has_the_same_rows(repository: Path) -> None:
    rows = json.loads(run("head", "list", "--model-repo", repository, "--json").stdout)
    assert [(row["route"], row["version"]) for row in rows] == [
        ("imu/activity", 1),
        ("imu/gesture", 1),
    ]


def test_removed_heads_are_named_and_leave_the_repository(repository: Path) -> None:
    result = run("head", "remove", "imu/gesture", "--model-repo", repository)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("removed imu_gesture")
    assert not (repository / "imu_gesture").exists()


def test_removing_a_head_that_is_not_there_fails_in_one_line_that_names_the_others(
    repository: Path,
) -> None:
    result = run("head", "remove", "imu/smell", "--model-repo", repository)
    assert result.exit_code == 2
    assert "has no head imu/smell; it has imu/activity, imu/gesture" in result.stderr
    assert result.stderr.count("\n") == 1


def test_nothing_is_removed_when_a_triton_server_does_not_answer(repository: Path) -> None:
    options = ("--model-repo", repository, "--triton", "127.0.0.1:1")
    result = run("head", "remove", "imu/gesture", *options)
    assert result.exit_code == 1
    assert "no Triton server at 127.0.0.1:1" in result.stderr
    assert (repository / "imu_gesture").exists()


def test_adding_a_head_whose_graphs_do_not_run_is_refused_and_changes_nothing(
    checkpoint: Path, repository: Path
) -> None:
    before = sorted(path for path in repository.rglob("*") if path.name != ".lock")
    served = set(read_repository(repository).models)
    result = run("head", "add", "imu/gesture", "-c", checkpoint, "--model-repo", repository)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert sorted(path for path in repository.rglob("*") if path.name != ".lock") == before
    assert set(read_repository(repository).models) == served


def test_adding_a_head_that_the_checkpoint_lacks_is_refused(
    checkpoint: Path, repository: Path
) -> None:
    result = run("head", "add", "imu/smell", "-c", checkpoint, "--model-repo", repository)
    assert result.exit_code == 2
    assert "imu/smell" in result.stderr


@pytest.fixture
def running(tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint of two heads whose graphs run, and a repository of the first."""
    heads = [classification("text/sentiment", "no", "yes"), classification("text/topic", "a", "b")]
    whole = write_tiny_export(tmp_path / "whole", heads)
    first = write_tiny_export(tmp_path / "first", heads[:1])
    assemble(first, tmp_path / "running", Layout.FUSED)
    return whole, tmp_path / "running"


def test_an_added_head_is_tried_and_its_version_printed(running: tuple[Path, Path]) -> None:
    checkpoint, repository = running
    for version in (1, 2):
        result = run("head", "add", "text/topic", "-c", checkpoint, "--model-repo", repository)
        assert result.exit_code == 0, result.output
        assert "largest error" in result.stdout
        assert f"text/topic is version {version} in {repository}" in result.stdout
    assert set(read_repository(repository).models) == {"text_sentiment", "text_topic"}


@pytest.mark.parametrize(
    ("listed", "code", "message"),
    [
        ({"models": [{"name": "text_topic", "version": "1"}], "refused": []}, 0, ""),
        (
            {"models": [], "refused": [{"name": "text_topic", "reason": "another trunk"}]},
            1,
            "refuses text/topic: another trunk",
        ),
    ],
)
def test_a_gateway_is_waited_for_until_it_serves_the_head_or_refuses_it(
    running: tuple[Path, Path], listed: object, code: int, message: str
) -> None:
    checkpoint, repository = running
    options = ("-c", checkpoint, "--model-repo", repository)
    with gateway(listed) as url:
        result = run("head", "add", "text/topic", *options, "--gateway", url)
    assert result.exit_code == code, result.output
    assert message in result.stderr


def test_joining_from_a_checkpoint_that_is_not_there_names_it(
    checkpoint: Path, tmp_path: Path
) -> None:
    result = run("head", "join", "imu/gesture", "--from", tmp_path / "none", "-c", checkpoint)
    assert result.exit_code == 1
    assert str(tmp_path / "none") in result.stderr
