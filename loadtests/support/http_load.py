"""Load a server on this machine with the compiled generator ``http_load.c``.

Chosen over ``wrk`` because that corrects its percentiles for requests which a closed loop never
sends, and because a compiler is on more machines than ``wrk`` is.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from loadtests.support.measured_gateway import ROOT

SOURCE = Path(__file__).with_suffix(".c")
_BUILD = ROOT / ".cache" / "http_load"
BUSY_MACHINE = "Beside other work nothing can be measured: run it again with nothing else."
"""What a measurement says after a ``LoadError`` about refused requests."""

_NICE = 10
"""The generator's priority: in production the load comes from other machines."""


class LoadError(Exception):
    """The generator cannot be built, or a server failed while it was loaded."""


@dataclass(frozen=True)
class HttpFigures:
    """What a number of connections saw.

    Attributes:
        rate: The number of answers 200 per second.
        p50_ms: The median time from request to complete answer.
        p95_ms: The time that 95 % of the answers took at most.
        p99_ms: The time that 99 % of the answers took at most.
    """

    rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class HttpRequest:
    """A request that is sent again and again.

    Attributes:
        path: The path, such as ``/predict/image/classification``.
        body: The body.
        content_type: The body's content type.
    """

    path: str
    body: bytes
    content_type: str

    def encode(self) -> bytes:
        """Return head and body as they are sent."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: {self.content_type}\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


def load_server(
    port: int, request: HttpRequest, *, connections: int, warm_seconds: float, seconds: float
) -> HttpFigures:
    """Send a request over keep-alive connections, each waiting for its answer.

    Args:
        port: The server's port on 127.0.0.1.
        request: The request.
        connections: The number of connections.
        warm_seconds: The time at the start in which answers are not counted.
        seconds: The time in which they are.

    Raises:
        LoadError: The generator cannot be built, a connection failed, there was an answer
            other than 200, or none at all.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(request.encode())
        file.flush()
        arguments = [str(port), file.name, str(connections), str(warm_seconds), str(seconds)]
        done = subprocess.run(
            ["nice", "-n", str(_NICE), str(build_generator()), *arguments],
            capture_output=True,
            text=True,
            timeout=warm_seconds + seconds + 60,
            check=False,
        )
    if done.returncode:
        raise LoadError(done.stderr.strip() or f"http_load ended with {done.returncode}")
    return read_figures(done.stdout, done.stderr)


def read_figures(output: str, complaints: str = "") -> HttpFigures:
    """Read what the generator printed.

    Args:
        output: Its JSON.
        complaints: The generator's words about answers that are not 200.

    Raises:
        LoadError: There were such answers, or none at all.
    """
    seen = json.loads(output)
    if seen["errors"] or not seen["answers"]:
        what = f"{seen['answers']} answers and {seen['errors']} errors"
        raise LoadError(f"{what}: {complaints.strip() or 'nothing was answered in time'}")
    rate = seen["answers"] / seen["seconds"]
    return HttpFigures(rate, seen["p50_ms"], seen["p95_ms"], seen["p99_ms"])


def build_generator(directory: Path = _BUILD) -> Path:
    """Compile the generator, unless this source has been compiled before.

    Args:
        directory: The directory of the program.

    Returns:
        The path of the program.

    Raises:
        LoadError: There is no C compiler, or it failed.
    """
    program = directory / f"http_load-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}"
    if program.exists():
        return program
    directory.mkdir(parents=True, exist_ok=True)
    compiler = os.environ.get("CC", "cc")
    made = program.with_suffix(f".{os.getpid()}")
    command = [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", str(made), str(SOURCE)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        raise LoadError(f"no C compiler {compiler!r}; install gcc, or set CC") from error
    except subprocess.CalledProcessError as error:
        raise LoadError(f"{compiler} cannot compile {SOURCE}:\n{error.stderr}") from error
    made.replace(program)
    return program
