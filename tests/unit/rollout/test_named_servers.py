"""Heads that are added to all servers behind a name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.free_ports import free_ports
from omnivec2.errors import ArtifactError
from omnivec2_cli.main import app
from rollout import named_servers
from rollout.named_servers import connected
from service.runtimes.triton.server_names import ServerName, resolve_now
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.model_repositories.tiny_models import classification
from tests.support.triton.repository_triton import RepositoryTriton, repository_triton

ACTIVITY = classification("imu/activity", "walking", "sitting")
GESTURE = classification("imu/gesture", "wave", "clap", "point")
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


class Fleet:
    """Servers of one repository on one port of several addresses, behind a name."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.repository = folder / "repository"
        assemble(write_tiny_export(folder / "base", [ACTIVITY]), self.repository, Layout.SHARED)
        self.checkpoint = write_tiny_export(folder / "other", [ACTIVITY, GESTURE])
        (self.port,) = free_ports(1)
        started = [repository_triton(self.repository, host, self.port) for host in HOSTS]
        self.servers: list[RepositoryTriton] = [stack.enter_context(one) for one in started]
        for server in self.servers:
            server.load(*(path.parent.name for path in self.repository.glob("*/config.pbtxt")))
        self.addresses = [list(HOSTS[:2])]

    def resolve(self, name: ServerName) -> list[str]:
        """The addresses of the name: the next ones, and then always the last."""
        if name.host != "triton.test":
            return resolve_now(name)
        return self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]

    def head(self, *words: str) -> str:
        """Run ``omnivec2 head`` on the servers of the name."""
        options = ["--model-repo", str(self.repository), "--triton", f"triton.test:{self.port}"]
        outcome = CliRunner().invoke(app, ["head", *words, *options])
        assert outcome.exit_code == 0, outcome.output
        return outcome.output

    def have(self, model: str) -> list[bool]:
        return [model in server.loaded for server in self.servers]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    with ExitStack() as stack:
        fleet = Fleet(tmp_path, stack)
        monkeypatch.setattr(named_servers, "resolve_now", fleet.resolve)
        yield fleet


def test_a_head_reaches_every_server_of_a_name_and_leaves_every_one(fleet: Fleet) -> None:
    said = fleet.head("add", "imu/gesture", "--checkpoint", str(fleet.checkpoint))
    assert fleet.have("imu_gesture") == [True, True, False]
    assert all(f"switched on {host}:{fleet.port}" in said for host in HOSTS[:2])
    fleet.head("remove", "imu/gesture")
    assert fleet.have("imu_gesture") == [False, False, False]


def test_a_server_that_enters_the_name_while_a_head_is_added_gets_it_too(fleet: Fleet) -> None:
    fleet.addresses.append(list(HOSTS))
    said = fleet.head("add", "imu/gesture", "--checkpoint", str(fleet.checkpoint))
    assert fleet.have("imu_gesture") == fleet.have("head_imu_gesture") == [True] * 3
    assert f"loaded on {HOSTS[2]}:{fleet.port}, which is new" in said
    # Parts come before the head that needs them.
    verbs = [name for verb, name in fleet.servers[2].requests if verb == "load"]
    assert verbs[-1] == "imu_gesture"


def test_addresses_that_names_share_are_one_server(fleet: Fleet) -> None:
    names = [f"triton.test:{fleet.port}", f"{HOSTS[0]}:{fleet.port}"]
    with connected(names) as servers:
        assert [control.address for control in servers.controls] == [
            f"{host}:{fleet.port}" for host in HOSTS[:2]
        ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("triton", "is not HOST:PORT"),
        ("no.such.host.invalid:8001", "does not resolve"),
        (f"{'a' * 64}.test:8001", "does not resolve"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ArtifactError, match=reason), connected([name]):
        pass
