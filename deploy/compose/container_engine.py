"""A Docker engine on this machine: found, installed or started; commands have a time limit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PACKAGES = ("docker.io", "docker-compose", "debootstrap")
"""Debian's packages; its docker-compose is 1.29, its engine has no BuildKit."""
_PROGRAMS = ("docker", "dockerd", "debootstrap")
_INSTALL_SECONDS = 300
_START_SECONDS = 60
_ASK_SECONDS = 60


class VerifyError(Exception):
    """A step failed; the message says why."""


def run(
    command: Sequence[str | Path],
    *,
    seconds: float = _ASK_SECONDS,
    variables: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a program.

    Args:
        command: The program and its arguments.
        seconds: The time after which it is killed.
        variables: The environment variables to add.
        cwd: The working directory.

    Returns:
        Its standard output.

    Raises:
        VerifyError: It is missing, failed, or took too long; with the end of its output.
    """
    words = [str(word) for word in command]
    shown = " ".join(words[:4])
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            cwd=cwd,
            env={**os.environ, **(variables or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise VerifyError(f"`{shown} ...` took more than {seconds:.0f} s") from error
    except OSError as error:
        raise VerifyError(f"`{shown} ...`: {error.strerror}") from error
    if done.returncode:
        output = (done.stderr or done.stdout).strip()[-2000:]
        raise VerifyError(f"`{shown} ...` ended with {done.returncode}: {output}")
    return done.stdout


def install() -> str:
    """Install a Docker engine from Debian, if none is there.

    Returns:
        What was done.

    Raises:
        VerifyError: There is none, and this user cannot install one.
    """
    if all(_find(program) for program in _PROGRAMS) and compose_command():
        return "there already"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise VerifyError("no Docker engine is here; installing one needs root and apt-get")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], seconds=_INSTALL_SECONDS, variables=quiet)
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    run(command, seconds=_INSTALL_SECONDS, variables=quiet)
    return f"installed {', '.join(PACKAGES)}"


@contextmanager
def running(log: Path) -> Iterator[str]:
    """Run an engine until the block ends; one that was running before is left alone.

    Args:
        log: The log file of an engine that is started here.

    Yields:
        Whether it was running already, in words.

    Raises:
        VerifyError: It cannot be started; with the end of its log.
    """
    if _answers():
        yield "running already"
        return
    program = _find("dockerd")
    if program is None or os.geteuid() != 0:
        raise VerifyError("no Docker engine answers; starting one needs dockerd, and root")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        # No bridge and no packet filters: this machine's network stays as it is.
        command = [program, "--bridge=none", "--iptables=false"]
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            _wait_for_engine(process, log)
            yield "started, to be stopped at the end"
        finally:
            process.terminate()
            try:
                process.wait(_START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def has_bridge() -> bool:
    """Whether containers can have networks of their own here."""
    return "bridge" in run(["docker", "network", "ls", "--format", "{{.Driver}}"]).split()


def compose_command() -> list[str]:
    """Return ``docker compose``, or the older ``docker-compose``; empty if there is neither."""
    try:
        run(["docker", "compose", "version"])
    except VerifyError:
        return ["docker-compose"] if shutil.which("docker-compose") else []
    return ["docker", "compose"]


def inspect(name: str) -> dict[str, Any]:
    """Return the engine's description of a container or an image."""
    found: list[dict[str, Any]] = json.loads(run(["docker", "inspect", name]))
    return found[0]


def inside(container: str, *command: str, seconds: float = _ASK_SECONDS) -> str:
    """Run a command in a running container and return its standard output."""
    return run(["docker", "exec", container, *command], seconds=seconds)


def _find(program: str) -> str | None:
    """Find a program, also in the directories of root's PATH."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _answers() -> bool:
    try:
        run(["docker", "info"], seconds=20)
    except VerifyError:
        return False
    return True


def _wait_for_engine(process: subprocess.Popen[bytes], log: Path) -> None:
    last = time.monotonic() + _START_SECONDS
    while not _answers():
        if process.poll() is not None or time.monotonic() > last:
            output = log.read_text(errors="replace").strip()[-2000:]
            raise VerifyError(f"the Docker engine does not start here: {output}")
        time.sleep(0.5)
