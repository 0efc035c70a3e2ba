"""Real servers for the tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, BrowserContext

from export.repository.layouts import Layout
from omnivec2.errors import ArtifactError
from service.runtimes.embedded.engines.find_engine import find_engine
from tests.support.browser import Visit, chromium, new_context
from tests.support.gateways.servers import RunningServer, running_server, triton_gateway
from tests.support.model_repositories.tiny_models import tiny_heads, write_repository
from tests.support.run_directory import run_directory
from tests.support.triton.small_repositories import keep_one_instance

if TYPE_CHECKING:
    from tests.support.checkpoints.exported_writer import ExportedWriter


@pytest.fixture(scope="session")
def embedded_tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of tiny graphs in one piece: right in form, meaningless in content."""
    root = write_repository(tmp_path_factory.mktemp("repository"), tiny_heads())
    options = ("--model-repo", str(root), "--checkpoint", "none", "--grpc-port", "0")
    with running_server(*options) as server:
        yield server


@pytest.fixture(
    scope="session",
    params=[
        *(("embedded", layout) for layout in Layout),
        *(("triton", layout) for layout in Layout),
        ("gpu", Layout.SHARED),
    ],
    ids="-".join,
)
def tiny_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server of tiny graphs, with every runtime and layout in turn, and on a GPU."""
    runtime, layout = request.param
    if runtime == "gpu":
        skip_without_gpu()
    if (runtime, layout) == ("embedded", Layout.FUSED):
        yield request.getfixturevalue("embedded_tiny")
        return
    root = write_repository(tmp_path_factory.mktemp("repository"), tiny_heads(), layout)
    if runtime == "triton":
        with triton_gateway(keep_one_instance(root)) as server:
            yield server
        return
    options = ("--model-repo", str(root), "--checkpoint", "none", "--grpc-port", "0")
    settings = {"engine": "onnxruntime_gpu"} if runtime == "gpu" else {}
    with running_server(*options, settings=settings) as server:
        yield server


def skip_without_gpu() -> None:
    """Skip a test, with the reason, where ONNX Runtime cannot use a GPU."""
    try:
        find_engine("onnxruntime_gpu")
    except ArtifactError as error:
        pytest.skip(f"nothing is run on a GPU here: {error}")


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the network that ships, in the shared layout."""
    root: Path = tmp_path_factory.mktemp("reference")
    options = ("--model-repo", str(root), "--layout", "shared", "--grpc-port", "0")
    with running_server(*options) as server:
        yield server


@pytest.fixture(scope="session")
def reference_server(reference: RunningServer) -> str:
    """The address of the server of the network that ships."""
    return reference.url


@pytest.fixture(scope="session")
def writer(tmp_path_factory: pytest.TempPathFactory) -> ExportedWriter:
    """A tiny head that writes, exported and assembled in both layouts, once for all workers."""
    from tests.support.checkpoints.exported_writer import (
        export_writer_once,  # with torch, which few tests need
    )

    return export_writer_once(run_directory(tmp_path_factory))


# One per module: while Playwright runs, its thread cannot run another event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def browser_context(browser: Browser) -> BrowserContext:
    """What the windows of a module share: the scripts that were loaded before."""
    return new_context(browser)


@pytest.fixture
def visit(browser_context: BrowserContext, reference_server: str) -> Iterator[Visit]:
    """The try page in a new window; errors in it and requests to other hosts fail the test."""
    window = Visit(browser_context, reference_server)
    yield window
    window.page.close()
    assert window.errors == []
    assert window.foreign == []
