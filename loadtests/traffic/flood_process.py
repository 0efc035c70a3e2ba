"""Processes that send the requests of a job, the requests themselves, and counts of the answers."""

from __future__ import annotations

import base64
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import IO

from loadtests.support.measured_gateway import ROOT
from loadtests.traffic.corpus import Sample, Target, auth_headers, find_targets
from loadtests.traffic.flood import Exchange, Job, Post, Result

Running = tuple[subprocess.Popen[bytes], IO[bytes]]


def start(job: Job) -> Running:
    """Start a process that does a job and writes its result into the file."""
    written = tempfile.TemporaryFile()  # noqa: SIM115 (finish closes it)
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtests.traffic.flood"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=written,
    )
    assert process.stdin is not None
    process.stdin.write(job.model_dump_json().encode())
    process.stdin.close()
    return process, written


def finish(running: Running) -> Result:
    """Wait for a process and return its result.

    Raises:
        RuntimeError: The process failed.
    """
    process, written = running
    with written:
        if process.wait():
            raise RuntimeError(f"a generator of load ended with {process.returncode}")
        written.seek(0)
        return Result.model_validate_json(written.read())


def encode_posts(
    url: str,
    routes: Sequence[str],
    deadline_seconds: float,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> list[Post]:
    """Return the requests of a service's heads, each with a deadline, for ``tests/data``.

    Args:
        url: The address of the service.
        routes: The heads, ``modality/task``.
        deadline_seconds: The time that each answer may take.
        extra: The further headers of every request.
    """
    headers = {**auth_headers(), "X-Request-Timeout": str(deadline_seconds), **extra}
    mix = dict.fromkeys(routes, 1.0)
    return [
        Post(
            path=target.path,
            headers={"Content-Type": "application/octet-stream", **sample.headers, **headers},
            body_base64=base64.b64encode(sample.body).decode(),
        )
        for target, sample in _in_turn(find_targets(url, ROOT / "tests" / "data", mix))
    ]


def count_statuses(exchanges: Sequence[Exchange]) -> Counter[int]:
    """Return the number of answers of each status."""
    return Counter(exchange.status for exchange in exchanges)


def count_in_time(exchanges: Sequence[Exchange], deadline_seconds: float) -> int:
    """Return the number of answers that are 200 and within the deadline."""
    return sum(e.status == 200 and e.seconds <= deadline_seconds for e in exchanges)


def _in_turn(targets: Sequence[Target]) -> Iterator[tuple[Target, Sample]]:
    """Yield every file of every head, heads in turn, so that neighbours differ."""
    most = max(len(target.samples) for target in targets)
    for number in range(most):
        for target in targets:
            yield target, target.samples[number % len(target.samples)]
