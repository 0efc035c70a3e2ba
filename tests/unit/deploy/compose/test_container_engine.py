"""What is asked of a Docker engine, and what is made of its answers; docker is a small script."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.compose import container_engine, container_images
from deploy.compose.container_engine import VerifyError
from deploy.compose.container_images import GATEWAY
from deploy.compose.stack import wait_for
from deploy.compose.stack_checks import memory_mb

DOCKER = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$1 $2" in
  "compose version") exit ${COMPOSE:-0} ;;
  "buildx version") exit ${BUILDX:-0} ;;
  "network ls") echo ${NETWORKS:-bridge} ;;
  "inspect "*) echo '[{"Size": 2500000}]' ;;
  "stats "*) printf '%s\\n' "verify-gateway-1 100MiB / 1GiB" "verify_triton_1 1.5GiB / 2GiB" ;;
esac
"""


@pytest.fixture(autouse=True)
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of docker's arguments, a line for each call."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("docker", "dockerd", "debootstrap", "docker-compose"):
        (programs / name).write_text(DOCKER)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join((str(programs), "/usr/bin", "/bin")))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def test_an_engine_that_is_there_is_neither_installed_nor_started(tmp_path: Path) -> None:
    assert container_engine.install() == "there already"
    with container_engine.running(tmp_path / "log") as how:
        assert how == "running already"
    assert not (tmp_path / "log").exists()


def test_the_older_compose_is_taken_where_the_newer_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert container_engine.compose_command() == ["docker", "compose"]
    monkeypatch.setenv("COMPOSE", "1")
    assert container_engine.compose_command() == ["docker-compose"]


@pytest.mark.parametrize(("drivers", "expected"), [("host bridge null", True), ("host", False)])
def test_containers_have_networks_where_the_engine_lists_a_bridge(
    monkeypatch: pytest.MonkeyPatch, drivers: str, expected: bool
) -> None:
    monkeypatch.setenv("NETWORKS", drivers)
    assert container_engine.has_bridge() is expected


def test_an_image_is_built_from_packages_of_this_machine_alone(calls: Path) -> None:
    shown = container_images.build(GATEWAY, "python:local", "http://127.0.0.1:1/")
    assert shown == f"{GATEWAY.tag}, 2 MB"
    build = next(line for line in calls.read_text().splitlines() if line.startswith("build "))
    for argument in ("PYTHON_IMAGE=python:local", "PIP_NO_INDEX=1", *GATEWAY.arguments):
        assert f"--build-arg {argument}" in build
    assert f"--file {GATEWAY.dockerfile} ." in build


def test_the_engines_own_builder_is_taken_where_there_is_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert container_images.builder_variables() == {}
    monkeypatch.setenv("BUILDX", "1")
    assert container_images.builder_variables() == {"DOCKER_BUILDKIT": "0"}


def test_a_base_image_that_was_made_before_is_kept(tmp_path: Path) -> None:
    tag, how = container_images.base_image(tmp_path)
    assert tag.startswith("omnivec2/python:bookworm-")
    assert how == "kept from before"


def test_memory_is_told_by_service_in_millions_of_bytes() -> None:
    assert memory_mb() == {"gateway": 104.9, "triton": 1610.6}


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(VerifyError, match="no-such-program"):
        container_engine.run(["no-such-program"])


def test_waiting_ends_with_what_was_waited_for() -> None:
    answers = iter([False, True])
    assert wait_for(lambda: next(answers), 5, "never", every=0.01) > 0
    with pytest.raises(VerifyError, match="the gateway is not ready after 0 s"):
        wait_for(lambda: False, 0, "the gateway is not ready", every=0.01)
