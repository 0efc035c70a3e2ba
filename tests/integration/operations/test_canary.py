"""Two versions of a head behind a real gateway, in memory together, under load."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.triton_server import running_triton
from omnivec2.spec import HeadSpec
from omnivec2_cli.main import app
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import classification
from tests.support.waiting import wait_until

ROUTE = "imu/activity"
STEPS = np.linspace(-1, 2, 64 * 9).reshape(64, 9)
SIGNAL, HUGE = {"inputs": STEPS.tolist()}, {"inputs": (300 * STEPS).tolist()}
SETTINGS = {"refresh_seconds": 0.2, "shadow_wait_seconds": 60}
SECONDS = 30.0
LABELS = "abcdefgh"
OVERFLOWING = 3e38
"""A factor by which the outputs for large inputs are infinite, and those for small ones are not."""


def head(*labels: str) -> HeadSpec:
    return classification(ROUTE, *labels)


class Deployment:
    """A gateway over a repository, and the commands that change it."""

    def __init__(self, directory: Path, gateway: RunningServer, triton: str = "") -> None:
        self.directory, self.gateway, self._triton = directory, gateway, triton

    def command(self, *words: str) -> str:
        """Run ``omnivec2 head``; it must succeed."""
        options = ["--model-repo", str(self.directory / "repository")]
        if self._triton and words[0] not in ("status", "list"):
            options += ["--triton", self._triton]
        outcome = CliRunner().invoke(app, ["head", *words, *options])
        assert outcome.exit_code == 0, outcome.output
        return outcome.output

    def add(self, name: str, *options: str, labels: str = LABELS, scale: float = 1.0) -> None:
        """Add a version of the head, and wait until the gateway uses it."""
        checkpoint = write_tiny_export(self.directory / name, [head(*labels)], scale=scale)
        url = ("--gateway", self.gateway.url)
        self.command("add", ROUTE, "--checkpoint", str(checkpoint), *options, *url)

    def post(self, body: object, **headers: str) -> httpx.Response:
        url = f"{self.gateway.url}/predict/{ROUTE}"
        return httpx.post(url, json=body, headers=headers, timeout=30)

    def post_many(self, count: int, body: object = SIGNAL) -> list[httpx.Response]:
        """Send requests with ids that choose their versions alike in each run, four at a time."""
        with (
            httpx.Client(timeout=30) as client,
            ThreadPoolExecutor(4) as pool,
        ):
            url = f"{self.gateway.url}/predict/{ROUTE}"

            def post(number: int) -> httpx.Response:
                return client.post(url, json=body, headers={"X-Request-Id": f"caller-{number}"})

            return list(pool.map(post, range(count)))

    def promote(self, version: str) -> None:
        """Promote the canary, and wait until it answers everybody."""
        self.command("promote", ROUTE)
        # Some callers get its version before.
        wait_until(lambda: self.canary["status"] == "promoted", seconds=SECONDS)
        wait_until(lambda: self.post(SIGNAL).headers["X-Model-Version"] == version, seconds=SECONDS)

    @property
    def canary(self) -> dict[str, Any]:
        """The canary as the gateway shows it."""
        shown: dict[str, Any] = httpx.get(f"{self.gateway.url}/models/{ROUTE}").json()
        found: dict[str, Any] = shown.get("canary", {})
        return found

    def status(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(
            self.command("status", ROUTE, "--json", "--gateway", self.gateway.url)
        )
        return shown


def served(directory: Path, layout: Layout) -> Path:
    checkpoint = write_tiny_export(directory / "base", [head(*LABELS)])
    assemble(checkpoint, directory / "repository", layout)
    return directory / "repository"


@pytest.fixture(scope="module", params=Layout)
def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp(request.param)
    repository = served(directory, request.param)
    options = ("--model-repo", str(repository), "--checkpoint", str(directory / "none"))
    with running_server(*options, settings=SETTINGS) as gateway:
        yield Deployment(directory, gateway)


def versions(answers: list[httpx.Response]) -> Counter[str]:
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["X-Model"] for answer in answers} == {"imu_activity"}
    return Counter(answer.headers["X-Model-Version"] for answer in answers)


def test_a_tenth_of_the_callers_get_the_new_version_until_it_is_promoted(
    deployment: Deployment,
) -> None:
    deployment.add("second", "--share", "10", scale=2.0)
    counts = versions(deployment.post_many(2000))
    assert 160 <= counts["2"] <= 240
    assert counts["1"] + counts["2"] == 2000
    again = [deployment.post(SIGNAL, **{"X-Request-Id": "one"}) for _ in range(5)]
    assert len(versions(again)) == 1, "a caller stays with a version"
    rows = {row["version"]: row for row in deployment.status()["versions"]}
    assert (rows["2"]["failed"], rows["1"]["failed"]) == (0, 0)
    assert rows["2"]["answered"] >= counts["2"]
    assert httpx.get(f"{deployment.gateway.url}/models").json()["models"][0]["version"] == "1"
    deployment.promote("2")
    assert not list((deployment.directory / "repository").glob("*__candidate"))


def test_a_version_that_fails_is_rolled_back_by_itself_and_no_caller_sees_it(
    deployment: Deployment,
) -> None:
    deployment.add("failing", "--share", "20", scale=OVERFLOWING)
    assert versions(deployment.post_many(50))["3"] > 0, "it answers what it is tested with"
    assert versions(deployment.post_many(200, HUGE)) == {"2": 200}
    wait_until(lambda: deployment.canary["status"] == "rolled_back", seconds=SECONDS)
    assert "requests, which the served version answered" in str(deployment.canary["reason"])
    assert versions(deployment.post_many(100)) == {"2": 100}
    wait_until(lambda: deployment.status()["status"] == "rolled_back", seconds=SECONDS)
    assert "rolled back" in deployment.command("rollback", ROUTE)
    assert not list((deployment.directory / "repository").glob("*__candidate"))


def test_a_shadow_finds_two_labels_that_are_swapped(deployment: Deployment) -> None:
    deployment.add("swapped", "--shadow", "--max-disagreement", "1", labels="abcdefhg", scale=2.0)
    assert versions(deployment.post_many(60)) == {"2": 60}, "the served version answers"
    wait_until(lambda: "label_changes" in deployment.canary, seconds=SECONDS)
    (change,) = deployment.canary["label_changes"]
    assert {change["served"], change["candidate"]} == {"g", "h"}
    rows = {row["version"]: row for row in deployment.status()["versions"]}
    assert rows["4"]["different"] == 1.0
    deployment.command("rollback", ROUTE, "--reason", "its labels are swapped")
    wait_until(lambda: deployment.canary["status"] == "rolled_back", seconds=SECONDS)
    assert deployment.canary["reason"] == "its labels are swapped"


def test_both_versions_are_behind_a_real_triton(tmp_path: Path) -> None:
    repository = served(tmp_path, Layout.SHARED)
    with (
        running_triton(repository, "--model-control-mode", "explicit") as triton,
        running_server(
            *("--runtime", "triton", "--triton", triton.grpc),
            settings={**SETTINGS, "model_repo": repository},
        ) as gateway,
    ):
        deployment = Deployment(tmp_path, gateway, triton.grpc)
        deployment.add("second", "--share", "50", scale=2.0)
        counts = versions(deployment.post_many(100))
        assert min(counts["1"], counts["2"]) > 20
        deployment.promote("2")
        deployment.add("failing", "--share", "50", scale=OVERFLOWING)
        assert versions(deployment.post_many(60, HUGE)) == {"2": 60}
        wait_until(lambda: deployment.canary["status"] == "rolled_back", seconds=SECONDS)
        deployment.command("rollback", ROUTE)
        assert versions(deployment.post_many(20)) == {"2": 20}
