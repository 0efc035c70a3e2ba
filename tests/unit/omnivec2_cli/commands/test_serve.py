"""``omnivec2 serve`` from its start to a signal, in this process."""

from __future__ import annotations

import gc
import os
import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtests.support.free_ports import free_ports
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.command_line import run
from tests.support.gateways.process_state import process_state_restored
from tests.support.model_repositories.tiny_models import classification


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    with process_state_restored():
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    heads = [classification("text/sentiment", "no", "yes"), classification("text/topic", "a", "b")]
    return write_tiny_export(tmp_path_factory.mktemp("checkpoint") / "mine", heads)


@contextmanager
def ended_once_announced() -> Iterator[None]:
    """Send this process a signal as soon as a gateway in it is announced; none if it never is."""
    over = threading.Event()

    def poll() -> None:
        while not over.wait(0.01):
            if gc.get_freeze_count():  # the last step before the announcement
                os.kill(os.getpid(), signal.SIGTERM)
                if over.wait(20.0):  # it came before the server handled it: once more
                    return

    gc.unfreeze()
    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def test_a_gateway_says_where_it_listens_and_shows_a_first_request(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    port, grpc_port = free_ports(2)
    options = ("--model-repo", tmp_path / "repository", "--layout", "fused", "--workers", 1)
    ports = ("--port", port, "--grpc-port", grpc_port)
    with ended_once_announced():
        result = run("serve", "-c", checkpoint, *options, *ports, "--log-level", "error")
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    assert "loading the models ..." in lines
    assert f"gRPC at 127.0.0.1:{grpc_port}" in lines
    address = f"http://127.0.0.1:{port}"
    assert f"2 heads at {address} (docs: {address}/docs). Try:" in lines
    words = shlex.split(lines[-1])
    assert words[0] == "curl"
    assert words[-1].startswith(f"{address}/predict/text/")


def test_only_the_chosen_heads_are_served(checkpoint: Path, tmp_path: Path) -> None:
    [port] = free_ports(1)
    options = ("--model-repo", tmp_path / "repository", "--layout", "fused", "--workers", 1)
    with ended_once_announced():
        result = run("serve", "-c", checkpoint, *options, "--port", port, "--only", "text/topic")
    assert result.exit_code == 0, result.output
    assert f"1 heads at http://127.0.0.1:{port}" in result.stderr
    assert f"{port}/predict/text/topic" in result.stderr


def test_a_head_to_serve_that_is_not_there_is_named(checkpoint: Path, tmp_path: Path) -> None:
    options = ("--model-repo", tmp_path / "repository", "--layout", "fused", "--port", 0)
    result = run("serve", "-c", checkpoint, *options, "--only", "text/smell")
    assert result.exit_code == 1
    assert "text" in result.stderr
    assert "smell" in result.stderr


def test_a_wrong_setting_is_named_in_one_line() -> None:
    result = run("serve", "--triton", "triton,other:8001", "--port", 99999)
    assert result.exit_code == 2
    assert "'triton' is not HOST:PORT" in result.stderr
    assert "port: " in result.stderr
    assert "Traceback" not in result.output


def test_the_engines_of_this_machine_are_explained_instead_of_serving(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    place = ("--checkpoint", str(checkpoint), "--model-repo", str(tmp_path / "repository"))
    result = run("serve", *place, "--engine", "onnxruntime", "--explain-engine")
    assert result.exit_code == 0
    assert "Engines on this machine" in result.stdout
    assert "onnxruntime fp32" in result.stdout
    assert "2 of 2" in result.stdout
