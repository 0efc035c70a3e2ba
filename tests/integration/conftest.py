"""Real servers for the tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import RunningServer, running_server
from tests.support.tiny_models import tiny_heads, write_repository


@pytest.fixture(scope="session")
def tiny_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of tiny graphs: right in form, meaningless in content."""
    root = write_repository(tmp_path_factory.mktemp("repository"), tiny_heads())
    options = ("--model-repo", str(root), "--checkpoint", "none", "--grpc-port", "0")
    with running_server(*options) as server:
        yield server


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the network that ships."""
    root: Path = tmp_path_factory.mktemp("reference")
    with running_server("--model-repo", str(root), "--grpc-port", "0") as server:
        yield server


@pytest.fixture(scope="session")
def reference_server(reference: RunningServer) -> str:
    """Address of the server of the network that ships."""
    return reference.url
