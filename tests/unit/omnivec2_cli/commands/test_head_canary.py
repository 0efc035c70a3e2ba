"""``omnivec2 head add --share``, ``status``, ``promote`` and ``rollback``, as they are typed."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from prometheus_client import start_http_server

from export.repository.assembly import assemble
from omnivec2.canary.canary_state import read_canaries
from service.observability.gateway_metrics import Metrics
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.command_line import run
from tests.support.model_repositories.tiny_models import classification
from tests.unit.omnivec2_cli.commands.test_head import gateway

ROUTE = "imu/activity"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_tiny_export(tmp_path / "new", [classification(ROUTE, "b", "a")], scale=2.0)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    assemble(
        write_tiny_export(tmp_path / "base", [classification(ROUTE, "a", "b")]),
        tmp_path / "repository",
    )
    return tmp_path / "repository"


def head(repository: Path, *words: str) -> tuple[int, str]:
    outcome = run("head", *words, "--model-repo", str(repository))
    return outcome.exit_code, outcome.output


def test_a_canary_is_added_shown_and_promoted(repository: Path, checkpoint: Path) -> None:
    shown = {"models": [{"name": "imu_activity", "canary": {"version": "2", "loaded": True}}]}
    with gateway({**shown, "refused": []}) as url:
        options = ("--share", "5", "--shadow", "--max-disagreement", "0.2", "--gateway", url)
        code, output = head(repository, "add", ROUTE, "-c", str(checkpoint), *options)
    assert code == 0, output
    assert "version 2 answers 5 % of callers and is compared in the shadow" in output
    assert read_canaries(repository)[ROUTE].limits.max_disagreement == 0.2
    code, output = head(repository, "status", ROUTE)
    assert code == 0
    assert "version 2 for 5 % of callers" in output
    code, output = head(repository, "list")
    assert "canary" in output
    code, output = head(repository, "promote", ROUTE)
    assert (code, "imu/activity is version 2" in output) == (0, True), output


def test_a_gateway_that_refuses_the_candidate_is_reported(
    repository: Path, checkpoint: Path
) -> None:
    refused = {"name": "imu_activity__candidate", "reason": "its answers are not finite"}
    with gateway({"models": [], "refused": [refused]}) as url:
        code, output = head(
            repository, "add", ROUTE, "-c", str(checkpoint), "--shadow", "--gateway", url
        )
    assert code != 0
    assert "refuses imu/activity: its answers are not finite" in output


def test_figures_of_gateways_are_added_up(repository: Path, checkpoint: Path) -> None:
    metrics = Metrics()
    canaries = metrics.canaries
    canaries.count_answer(ROUTE, "1", "live", "answered")
    canaries.count_answer("imu/other", "1", "live", "answered")
    canaries.count_answer(ROUTE, "2", "live", "answered")
    canaries.count_answer(ROUTE, "2", "shadow", "answered")
    canaries.count_answer(ROUTE, "2", "live", "failed")
    canaries.observe_seconds(ROUTE, "2", 0.004)
    canaries.observe_comparison(ROUTE, "2", 0.5, True)
    canaries.observe_comparison(ROUTE, "2", 0.1, False)
    canaries.count_dropped(ROUTE, "2", "load")
    assert head(repository, "add", ROUTE, "-c", str(checkpoint), "--share", "5")[0] == 0
    server, thread = start_http_server(0, "127.0.0.1", metrics.registry)
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        words = ("status", ROUTE, "--gateway", url, "--gateway", url)
        code, output = head(repository, *words, "--json")
        table = head(repository, *words)[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert code == 0, output
    served, candidate = json.loads(output)["versions"]
    assert (served["version"], served["answered"], served["failed"]) == ("1", 2, 0)
    assert (candidate["answered"], candidate["failed"], candidate["dropped"]) == (4, 2, 2)
    assert (candidate["mean ms"], candidate["different"]) == (4.0, 0.5)
    assert candidate["mean distance"] == pytest.approx(0.3)
    assert "running" in table


def test_a_gateway_that_is_not_there_or_has_no_metrics_is_named(
    repository: Path, checkpoint: Path
) -> None:
    assert head(repository, "add", ROUTE, "-c", str(checkpoint), "--share", "5")[0] == 0
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    code, output = head(repository, "status", ROUTE, "--gateway", url)
    assert code != 0
    assert "does not answer" in " ".join(output.split())


def test_a_canary_is_rolled_back_with_a_reason(repository: Path, checkpoint: Path) -> None:
    assert head(repository, "add", ROUTE, "-c", str(checkpoint), "--share", "5")[0] == 0
    code, output = head(repository, "rollback", ROUTE, "--reason", "odd")
    assert (code, "version 2 was rolled back: odd" in output) == (0, True), output
    assert "rolled back at" in " ".join(head(repository, "status", ROUTE)[1].split())


def test_limits_without_a_canary_are_refused(repository: Path, checkpoint: Path) -> None:
    code, output = head(
        repository, "add", ROUTE, "-c", str(checkpoint), "--max-disagreement", "0.1"
    )
    assert code != 0
    assert "without --share and --shadow" in " ".join(output.split())
