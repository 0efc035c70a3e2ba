"""Real servers for the tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from export.repository.layouts import Layout
from tests.support.browser import Visit, chromium
from tests.support.servers import RunningServer, running_server, triton_gateway
from tests.support.tiny_models import tiny_heads, write_repository

_WORKERS = {
    "test_bad_inputs": "reference",
    "test_documented_examples": "reference",
    "test_try_page": "reference",
    "test_try_page_order": "reference",
    "test_dashboards": "triton",
    "test_head_swap": "triton",
    "test_http_contract": "triton",
    "test_hugging_face_client": "triton",
    "test_open_inference_protocol": "triton",
    "test_summarization": "triton",
    "test_traces": "triton",
    "test_triton_runtime": "triton",
    "test_triton_server": "triton",
}
"""Test files that run in one worker, one after the other: those that ask the same servers, which
last for a session, and those that start Triton, of which two would not fit into memory."""


# First, because pytest-xdist reads the groups in a hook of the same name.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each file in one worker, and some files together."""
    for item in items:
        group = _WORKERS.get(item.path.stem, item.path.stem)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def embedded_tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of tiny graphs in one piece: right in form, meaningless in content."""
    root = write_repository(tmp_path_factory.mktemp("repository"), tiny_heads())
    options = ("--model-repo", str(root), "--checkpoint", "none", "--grpc-port", "0")
    with running_server(*options) as server:
        yield server


@pytest.fixture(
    scope="session",
    params=[("embedded", layout) for layout in Layout] + [("triton", layout) for layout in Layout],
    ids="-".join,
)
def tiny_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server of tiny graphs, with every runtime and layout in turn."""
    runtime, layout = request.param
    if (runtime, layout) == ("embedded", Layout.FUSED):
        yield request.getfixturevalue("embedded_tiny")
        return
    root = write_repository(tmp_path_factory.mktemp("repository"), tiny_heads(), layout)
    if runtime == "triton":
        with triton_gateway(root) as server:
            yield server
        return
    options = ("--model-repo", str(root), "--checkpoint", "none", "--grpc-port", "0")
    with running_server(*options) as server:
        yield server


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


# One per module: while Playwright runs, its thread cannot run another event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with chromium() as running:
        yield running


@pytest.fixture
def visit(browser: Browser, reference_server: str) -> Iterator[Visit]:
    """The try page in a new window; errors in it and requests to other hosts fail the test."""
    window = Visit(browser, reference_server)
    yield window
    window.context.close()
    assert window.errors == []
    assert window.foreign == []
