"""The stack of docker-compose.yml on this machine, and the state of its containers."""

from __future__ import annotations

import copy
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.compose.container_engine import VerifyError, compose_command, inside, inspect, run
from deploy.compose.container_images import GATEWAY, ROOT, TRITON

COMPOSE_FILE = ROOT / "docker-compose.yml"
PROJECT = "omnivec2-verify"
_UP_SECONDS = 300
_DOWN_SECONDS = 150

_DEVELOPMENT_OPTIONS = ("--backend-config=python,thread-pool-size=1",)
"""Its backend is Python: without this, every model's process has 32 idle threads."""


@dataclass(frozen=True)
class Ports:
    """Ports of loopback; all but the gateway's are used only where there is no bridge."""

    gateway: int
    metrics: int
    triton_http: int
    triton_grpc: int
    triton_metrics: int


def for_this_machine(document: Mapping[str, Any], ports: Ports, *, bridge: bool) -> dict[str, Any]:
    """Return the compose file with the CPU's services, adapted to this machine.

    With a bridge only an option of the development Triton changes. Without one, the two servers
    share the machine's network, on loopback; their hardening stays as it is.

    Args:
        document: The contents of ``docker-compose.yml``.
        ports: The ports of the services.
        bridge: Whether containers can have networks here.
    """
    made = copy.deepcopy(dict(document))
    made["services"] = {k: v for k, v in made["services"].items() if "profiles" not in v}
    gateway, triton = made["services"]["gateway"], made["services"]["triton"]
    triton["command"] += _DEVELOPMENT_OPTIONS
    if bridge:
        return made
    triton["command"] += [
        *(f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")),
        f"--http-port={ports.triton_http}",
        f"--grpc-port={ports.triton_grpc}",
        f"--metrics-port={ports.triton_metrics}",
    ]
    probe = triton["healthcheck"]["test"]
    probe[-1] = probe[-1].replace(":8000/", f":{ports.triton_http}/")
    gateway["environment"] |= {
        "OMNIVEC2_HOST": "127.0.0.1",
        "OMNIVEC2_PORT": str(ports.gateway),
        "OMNIVEC2_METRICS_PORT": str(ports.metrics),
        "OMNIVEC2_TRITON_ENDPOINTS": f"127.0.0.1:{ports.triton_grpc}",
    }
    del gateway["ports"], made["networks"]
    for service in (gateway, triton):
        del service["networks"]
        service["network_mode"] = "host"
    return made


class Stack:
    """The stack, brought up for a check and taken down with its volumes afterwards.

    Args:
        directory: The directory for this machine's compose file.
        ports: The ports on loopback.
        bridge: Whether containers can have networks here.
    """

    def __init__(self, directory: Path, ports: Ports, *, bridge: bool) -> None:
        self.url = f"http://127.0.0.1:{ports.gateway}"
        self._inner_ports = (8082, 8080) if bridge else (ports.metrics, ports.gateway)
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "docker-compose.yml"
        document = yaml.safe_load(COMPOSE_FILE.read_text())
        file.write_text(yaml.safe_dump(for_this_machine(document, ports, bridge=bridge)))
        options = ["--project-name", PROJECT, "--project-directory", str(ROOT)]
        self._compose = [*compose_command(), "--file", str(file), *options]
        self._variables = {
            "GATEWAY_IMAGE": GATEWAY.tag,
            "TRITON_IMAGE": TRITON.tag,
            "OMNIVEC2_PUBLISH": "127.0.0.1",
            "OMNIVEC2_PUBLISH_PORT": str(ports.gateway),
        }

    def compose(self, *words: str, seconds: float) -> str:
        """Run a compose command on the stack and return its output."""
        return run([*self._compose, *words], seconds=seconds, variables=self._variables)

    def up(self) -> float:
        """Start everything and return the seconds until the gateway is ready."""
        started = time.monotonic()
        self.compose("up", "--detach", "--no-build", seconds=_UP_SECONDS)
        wait_for(self.is_ready, _UP_SECONDS, "the gateway is not ready", every=0.1)
        return time.monotonic() - started

    def stop(self) -> None:
        """Stop everything gracefully and remove nothing."""
        self.compose("stop", seconds=_DOWN_SECONDS)

    def down(self) -> None:
        """Remove everything, including the volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "-t", "5", seconds=_DOWN_SECONDS)

    def logs(self) -> str:
        """Return the last lines of the containers' logs."""
        return self.compose("logs", "--no-color", "--tail=40", seconds=60)

    def container(self, service: str) -> str:
        """Return the container of a service, running or not.

        Raises:
            VerifyError: There is none.
        """
        label = f"label=com.docker.compose.service={service}"
        project = f"label=com.docker.compose.project={PROJECT}"
        command = ["docker", "ps", "--all", "--quiet", "--filter", label, "--filter", project]
        names = run(command).split()
        if len(names) != 1:
            raise VerifyError(f"{service}: expected one container, found {len(names)}")
        return names[0]

    def is_ready(self) -> bool:
        """Whether the gateway answers that it is ready."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def is_healthy(self, service: str) -> bool:
        """Whether the engine's health check of a service succeeds."""
        state = inspect(self.container(service))["State"]
        return bool(state.get("Health", {}).get("Status") == "healthy")

    def metrics(self) -> str:
        """Return the gateway's metrics, from inside its container, where they are served."""
        addresses = [f"http://127.0.0.1:{port}/metrics" for port in self._inner_ports]
        code = (
            "import sys, urllib.request as r\n"
            f"for address in {addresses!r}:\n"
            "    try:\n"
            "        sys.stdout.write(r.urlopen(address, timeout=5).read().decode())\n"
            "        break\n"
            "    except OSError:\n"
            "        continue\n"
        )
        return inside(self.container("gateway"), "python", "-c", code)

    def crash(self, service: str) -> None:
        """Kill a service's main process without the engine's help, as a crash would."""
        process = int(inspect(self.container(service))["State"]["Pid"])
        if process <= 1:
            raise VerifyError(f"{service}: it is not running")
        os.kill(process, signal.SIGKILL)


def wait_for(
    condition: Callable[[], bool], seconds: float, otherwise: str, every: float = 0.5
) -> float:
    """Wait until a condition holds, and return the seconds that took.

    Args:
        condition: The condition.
        seconds: The time limit.
        otherwise: The message of the error.
        every: The seconds between two checks of the condition.

    Raises:
        VerifyError: It does not hold in time.
    """
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise VerifyError(f"{otherwise} after {seconds:.0f} s")
        time.sleep(every)
    return time.monotonic() - started
