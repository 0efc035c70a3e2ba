"""Run the gateway's pod, as the chart renders it, with podman, and check what it does."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from deploy.compose.container_engine import VerifyError, run
from deploy.compose.stack import wait_for
from deploy.compose.stack_load import ask, check_answer

PACKAGES = ("podman", "runc", "catatonit")
"""Debian's packages; its crun refuses the control groups of some machines."""
CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=30000:30000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"""
ROUTES = ("image/detection", "text/sentiment")
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_INSTALL_SECONDS = 300
_START_SECONDS = 180
_LOAD_SECONDS = 300


def install() -> str:
    """Install podman from Debian, if it is not there.

    Raises:
        VerifyError: It is not, and this user cannot install it.
    """
    missing = [name for name in PACKAGES if not _find(name)]
    if not missing:
        return "there already"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise VerifyError(f"{', '.join(missing)}: missing; installing needs root and apt-get")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], seconds=_INSTALL_SECONDS, variables=quiet)
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    run(command, seconds=_INSTALL_SECONDS, variables=quiet)
    return f"installed {', '.join(missing)}"


def _find(program: str) -> str | None:
    folders = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/libexec/podman"
    return shutil.which(program, path=folders)


def for_this_machine(manifests: str, ports: Sequence[int]) -> str:
    """Return the ConfigMap and the Deployment of a gateway, adapted to podman on this machine.

    It listens on loopback, on free ports. Podman has no ports and no probes on the machine's own
    network. Nothing else changes.

    Args:
        manifests: The manifests of a single gateway, as the chart renders them.
        ports: The ports of HTTP, gRPC and metrics.
    """
    documents = [d for d in yaml.safe_load_all(manifests) if d]
    (config,) = (d for d in documents if d["kind"] == "ConfigMap")
    (deployment,) = (d for d in documents if d["kind"] == "Deployment")
    names = ("OMNIVEC2_PORT", "OMNIVEC2_GRPC_PORT", "OMNIVEC2_METRICS_PORT")
    config["data"].update(zip(names, map(str, ports), strict=True), OMNIVEC2_HOST="127.0.0.1")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for field in ("ports", *_PROBES):
        del container[field]
    return yaml.safe_dump_all([config, deployment])


class Pod:
    """A pod that podman runs from a file of manifests.

    Args:
        file: The file.
        port: The port of HTTP.
    """

    def __init__(self, file: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._file = file
        configuration = file.with_name("containers.conf")
        configuration.write_text(CONFIGURATION, "utf-8")
        self._variables = {"CONTAINERS_CONF": str(configuration)}
        (name,) = (
            d["metadata"]["name"]
            for d in yaml.safe_load_all(file.read_text("utf-8"))
            if d["kind"] == "Deployment"
        )
        self._container = f"{name}-pod-0-gateway"

    def podman(self, *words: str | Path, seconds: float = 60) -> str:
        """Run a podman command and return its output."""
        return run(["podman", *words], seconds=seconds, variables=self._variables)

    def take_image(self, tag: str) -> str:
        """Take an image from the Docker engine of this machine.

        Returns:
            What was done.
        """
        self.podman("pull", "--quiet", f"docker-daemon:{tag}", seconds=_LOAD_SECONDS)
        return tag

    def play(self) -> float:
        """Start the pod and return the seconds until it is ready."""
        started = time.monotonic()
        self.podman("kube", "play", "--network", "host", self._file, seconds=_START_SECONDS)
        wait_for(self._is_ready, _START_SECONDS, "the pod is not ready", every=0.25)
        return time.monotonic() - started

    def remove(self, tag: str) -> None:
        """Remove the pod, its volumes and the image."""
        self.podman("kube", "down", self._file, seconds=_START_SECONDS)
        self.podman("volume", "prune", "--force")
        self.podman("rmi", "--force", tag, seconds=_LOAD_SECONDS)

    def logs(self) -> str:
        """Return the last lines of the container's log."""
        return self.podman("logs", "--tail", "40", self._container)

    def inside(self, *command: str) -> str:
        """Run a command in the container and return its output."""
        return self.podman("exec", self._container, *command)

    def stop(self, grace_seconds: int) -> str:
        """Stop the container as Kubernetes would, and check that it ends by itself.

        Raises:
            VerifyError: It had to be killed, or failed.
        """
        seconds = grace_seconds + 30
        started = time.monotonic()
        self.podman("stop", "--time", str(grace_seconds), self._container, seconds=seconds)
        took = time.monotonic() - started
        state = json.loads(self.podman("inspect", self._container))[0]["State"]
        if state["ExitCode"] != 0:
            raise VerifyError(f"it ended with {state['ExitCode']} after {took:.0f} s")
        return f"after {took:.0f} s of {grace_seconds}"

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def logs_of_failure(pod: Pod) -> Iterator[None]:
    """Raise the container's last lines with an error of the block."""
    try:
        yield
    except VerifyError as error:
        try:
            lines = pod.logs()
        except VerifyError:
            lines = "there is no log"
        raise VerifyError(f"{error}\n{lines}") from error


def check_answers(pod: Pod) -> str:
    """Post samples and check the answers.

    Raises:
        VerifyError: One is not answered, or not in the form of its family.
    """
    with urllib.request.urlopen(f"{pod.url}/models", timeout=30) as answer:
        specs = {f"{s['modality']}/{s['task']}": s for s in json.load(answer)["models"]}
    for route in ROUTES:
        outcome = ask(pod.url, route)
        if outcome.result != "answered":
            raise VerifyError(f"{route}: {outcome.detail}")
        check_answer(route, outcome.body, specs[route])
    return ", ".join(ROUTES)


def check_restrictions(pod: Pod) -> str:
    """Check that the container is what a restricted namespace admits, by asking the kernel.

    Raises:
        VerifyError: It is root, has capabilities, may gain some, is without a filter of system
            calls, or can write its root file system; or it cannot write where it has to.
    """
    status = dict(
        line.split(":\t", 1)
        for line in pod.inside("cat", "/proc/1/status").splitlines()
        if ":\t" in line
    )
    wanted = {"NoNewPrivs": "1", "Seccomp": "2"}
    wanted |= {name: "0" * 16 for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")}
    for name, value in wanted.items():
        if status[name] != value:
            raise VerifyError(f"{name} is {status[name]}, not {value}")
    if set(status["Uid"].split()) != {"10001"}:
        raise VerifyError(f"it runs as {status['Uid']}")
    for folder in ("/tmp", "/cache", "/models"):
        pod.inside("sh", "-c", f"touch {folder}/.probe && rm {folder}/.probe")
    for folder in ("/app", "/opt/omnivec2", "/etc"):
        try:
            pod.inside("touch", f"{folder}/.probe")
        except VerifyError:
            continue
        raise VerifyError(f"it can write {folder}")
    return "user 10001, no capabilities, read-only but for /tmp, /cache and /models"


def check_stores(pod: Pod) -> str:
    """Check that the image has what pulls checkpoints from buckets.

    Raises:
        VerifyError: A client cannot be imported.
    """
    command = "import omnivec2.sharing.stores.s3; from pyarrow.fs import S3FileSystem"
    pod.inside("python", "-c", command)
    return "s3"


def run_helm_test(manifests: str, url: str) -> str:
    """Run what the pod of ``helm test`` runs, against a gateway on this machine.

    Args:
        manifests: The manifests, as the chart renders them.
        url: The gateway's address.

    Returns:
        The last line of its output.
    """
    documents = [d for d in yaml.safe_load_all(manifests) if d]
    (test,) = (d for d in documents if d["kind"] == "Pod")
    (container,) = test["spec"]["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    variables["SERVICE_URL"] = url
    command = ["python3", *container["command"][1:], *container["args"]]
    return run(command, seconds=300, variables=variables).splitlines()[-1]
