"""Start a peer in its own environment on loopback, and end every process that it started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.support.free_ports import free_ports
from loadtests.support.http_load import HttpRequest
from loadtests.support.measured_gateway import CORES

SERVERS = Path(__file__).resolve().parent / "servers"
_MARK = "OMNIVEC2_PEER_RUN"
_START_SECONDS = 90.0
_END_SECONDS = 10.0
_BOUNDARY = "a-picture-of-tests-data"


class PeerError(Exception):
    """A peer did not start, or gives another answer than the service."""


@dataclass(frozen=True)
class Peer:
    """A server that this one is compared with.

    Attributes:
        name: Its name, for tables.
        packages: The packages whose versions a report names.
        module: Its file in ``servers``, without the suffix.
        form_field: The field of a multipart form that takes the picture; None if the picture is
            the body.
        bento: The service in the module, if ``bentoml serve`` runs it.
    """

    name: str
    packages: tuple[str, ...]
    module: str
    form_field: str | None = None
    bento: str | None = None

    def command(self, python: Path, port: int) -> list[str]:
        """Return the command that serves on a port of 127.0.0.1.

        Args:
            python: The interpreter of the peers' environment.
            port: The port; other peers than BentoML read it from the environment.
        """
        if self.bento is None:
            return [str(python), str(SERVERS / f"{self.module}.py")]
        options = ["--host", "127.0.0.1", "--port", str(port)]
        return [str(python), "-m", "bentoml", "serve", *options, f"{self.module}:{self.bento}"]

    def request(self, picture: bytes) -> HttpRequest:
        """Return the request with a JPEG."""
        if self.form_field is None:
            return HttpRequest("/predict", picture, "image/jpeg")
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{self.form_field}"; '
            'filename="picture.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        )
        body = head.encode() + picture + f"\r\n--{_BOUNDARY}--\r\n".encode()
        return HttpRequest("/predict", body, f"multipart/form-data; boundary={_BOUNDARY}")


PEERS = (
    Peer("FastAPI + ONNX Runtime", ("fastapi", "onnxruntime"), "fastapi_onnxruntime"),
    Peer(
        "LitServe + ONNX Runtime",
        ("litserve", "onnxruntime"),
        "litserve_onnxruntime",
        form_field="request",
    ),
    Peer(
        "BentoML + ONNX Runtime",
        ("bentoml", "onnxruntime"),
        "bentoml_onnxruntime",
        form_field="pictures",
        bento="Classifier",
    ),
    Peer("Ray Serve + ONNX Runtime", ("ray", "onnxruntime"), "ray_serve_onnxruntime"),
    Peer("FastAPI + OpenVINO", ("fastapi", "openvino"), "fastapi_openvino"),
)


@contextmanager
def running_peer(peer: Peer, python: Path, graph: Path, labels: list[str]) -> Iterator[int]:
    """Serve a graph with a peer until the block ends.

    Args:
        peer: The peer.
        python: The interpreter of the peers' environment.
        graph: The whole graph of a head.
        labels: The head's labels.

    Yields:
        The port, on which the peer listens.

    Raises:
        PeerError: It ended, or did not listen in time; with the end of its log.
    """
    (port,) = free_ports(1)
    mark = uuid.uuid4().hex
    home_directory = tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True)
    with home_directory as home, tempfile.TemporaryFile() as log:
        environment = {
            **{
                name: os.environ[name] for name in ("LANG", "LD_LIBRARY_PATH") if name in os.environ
            },
            "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "HOME": home,
            "PEER_GRAPH": str(graph),
            "PEER_LABELS": json.dumps(labels),
            "PEER_PORT": str(port),
            "PEER_CORES": str(CORES),
            # One thread per worker also in libraries that count the cores themselves.
            "OMP_NUM_THREADS": "1",
            # Nothing is sent to anybody, and no line is written per request.
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_CONFIG_OPTIONS": "api_server.logging.access.enabled=false",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": home,
            _MARK: mark,
        }
        process = subprocess.Popen(
            peer.command(python, port),
            cwd=SERVERS,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait_until_listening(peer, process, port, log.fileno())
            yield port
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            end_marked_processes(_MARK, mark)


def _wait_until_listening(
    peer: Peer, process: subprocess.Popen[bytes], port: int, log: int
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    text = os.pread(log, 2**20, 0).decode(errors="replace")[-2000:]
    what = "did not listen in time" if process.poll() is None else "ended"
    raise PeerError(f"{peer.name} {what}:\n{text}")


def end_marked_processes(variable: str, value: str) -> int:
    """Kill all processes of this user that inherited a variable, wherever they moved since.

    Args:
        variable: The variable's name.
        value: Its value, which nobody else has.

    Returns:
        The number of processes that were still there.
    """
    wanted = f"{variable}={value}".encode()
    found = 0
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit() or int(directory.name) == os.getpid():
            continue
        try:
            if wanted in (directory / "environ").read_bytes().split(b"\0"):
                os.kill(int(directory.name), signal.SIGKILL)
                found += 1
        except OSError:
            continue  # another user's, or it has ended
    return found


def first_answer(port: int, request: HttpRequest) -> list[dict[str, Any]]:
    """Send a request until it is answered, and return the labels with their scores.

    A port may listen before the workers behind it are ready.

    Args:
        port: The server's port.
        request: The request with one input.

    Raises:
        PeerError: There was no answer 200 in time, or not in this form.
    """
    address = f"http://127.0.0.1:{port}{request.path}"
    deadline = time.monotonic() + _START_SECONDS
    while True:
        sent = urllib.request.Request(
            address, request.body, {"Content-Type": request.content_type}, method="POST"
        )
        try:
            with urllib.request.urlopen(sent, timeout=_START_SECONDS) as response:
                answer = json.load(response)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise PeerError(f"{address}: {error}") from error
            time.sleep(0.2)
    if answer and isinstance(answer[0], list):
        (answer,) = answer  # of a batch of one
    return list(answer)


def check_same_answer(
    name: str, answer: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    """Check that two servers name the same label first.

    Args:
        name: The peer's name.
        answer: The peer's labels and scores, the best first.
        expected: Those of the service.

    Raises:
        PeerError: They differ.
    """
    if answer[0]["label"] != expected[0]["label"]:
        raise PeerError(f"{name} answers {answer[0]}, the service {expected[0]}")


def installed_versions(python: Path, packages: Collection[str]) -> dict[str, str]:
    """Return the versions of packages in the peers' environment.

    Args:
        python: Its interpreter.
        packages: The names of the packages.
    """
    code = "import json, sys; from importlib.metadata import version; print(json.dumps(" \
           "{name: version(name) for name in sys.argv[1:]}))"  # fmt: skip
    done = subprocess.run(
        [str(python), "-c", code, *packages], capture_output=True, text=True, check=True
    )
    versions: dict[str, str] = json.loads(done.stdout)
    return versions
