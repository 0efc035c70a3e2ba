"""Jobs over two gateways, of which one is killed in the middle: is each answered, once?

Half of the jobs are sent to each of two gateways that share a Redis. When a share of them is done,
one gateway gets SIGKILL. Then every job must be done at its address, with one answer that stays as
it is. After that a long job is cancelled at one gateway while the other works on it, and it is
measured how long it goes on computing::

    python -m loadtests.jobs.survival
    python -m loadtests.jobs.survival --jobs 20 --seconds 5
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table

from loadtests.jobs.recordings import write_sound
from loadtests.support.free_ports import free_ports
from loadtests.support.measured_gateway import (
    Gateway,
    report_parser,
    unwind_on_sigterm,
    write_report,
)
from omnivec2.terminal import make_console
from omnivec2_api.client import Client

_LEASE_SECONDS = 3.0
_POLL_SECONDS = 0.02
_LONGEST_SECONDS = 900.0

Figures = dict[str, Any]


def main() -> int:
    """Measure, print a table and write a report; return 1 if a promise is broken."""
    unwind_on_sigterm()
    options = _options()
    console = make_console()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(running_redis(directory))
        settings = {
            "OMNIVEC2_JOBS_STORE": "redis",
            "OMNIVEC2_JOBS_DIR": str(directory / "jobs"),
            "OMNIVEC2_JOBS_LEASE_SECONDS": str(_LEASE_SECONDS),
            "OMNIVEC2_SHARED_STATE_URL": store,
        }
        environment = {**os.environ, **settings}
        gateways = [
            stack.enter_context(Gateway("--only", options.route, environment=environment))
            for _ in range(2)
        ]
        urls = [f"http://127.0.0.1:{gateway.port}" for gateway in gateways]
        short = write_sound(directory / "short.wav", options.seconds)
        long = write_sound(directory / "long.wav", options.long_seconds)
        figures = {
            "cancelled": measure_cancellation(urls, options.route, long),
            **survive(
                urls, options.route, short, options.jobs, lambda: os.kill(gateways[1].pid, 9)
            ),
        }
    table = Table(title=f"{options.jobs} jobs over two gateways, one killed in the middle")
    for column in ("figure", "value"):
        table.add_column(column)
    for name, value in figures.items():
        table.add_row(name, json.dumps(value))
    console.print(table)
    content = {"what": "jobs and the death of a gateway", "route": options.route, **figures}
    console.print(f"wrote {write_report(options.reports, 'jobs-survival', content)}")
    is_good = figures["states"] == {"done": options.jobs} and not figures["changed_afterwards"]
    return 0 if is_good and figures["cancelled"]["seconds_of_computing_after"] < 1 else 1


def survive(
    urls: Sequence[str], route: str, sound: Path, count: int, kill: Callable[[], None]
) -> Figures:
    """Send jobs to gateways, let one die when some are done, and return what became of all.

    Args:
        urls: The addresses of two gateways; the second is killed.
        route: The head.
        sound: The input of every job.
        count: The number of jobs.
        kill: A function that kills the second gateway.
    """
    started = time.monotonic()
    with Client(urls[0]) as first, Client(urls[1]) as second:
        jobs = [(first, second)[n % 2].start_job(route, sound) for n in range(count)]
        locations = [job.location for job in jobs]
        while (done := _ended_here(urls)) < count // 4:
            time.sleep(_POLL_SECONDS)
        kill()
        killed = time.monotonic()
        # Every job is polled at the gateway that lives, whoever took it.
        left = [first.job(route, location) for location in locations]
        answers = [job.wait(_LONGEST_SECONDS) for job in left]
        seconds = time.monotonic() - started
        before = [document_of(urls[0], location) for location in locations]
        time.sleep(2 * _LEASE_SECONDS)
        after = [document_of(urls[0], location) for location in locations]
    return {
        "jobs": count,
        "addresses": len(set(locations)),
        "done_when_one_was_killed": done,
        "answers": len(answers),
        "states": dict(Counter(document["state"] for document in after)),
        "begun_again": sum(document["attempts"] > 1 for document in after),
        "changed_afterwards": sum(a != b for a, b in zip(before, after, strict=True)),
        "seconds": round(seconds, 1),
        "seconds_after_the_kill": round(seconds - (killed - started), 1),
    }


def measure_cancellation(urls: Sequence[str], route: str, sound: Path) -> Figures:
    """Cancel a long job at the gateway that does not work on it; return how long it computes on."""
    with Client(urls[0]) as first, Client(urls[1]) as second:
        job = first.start_job(route, sound)
        while job.progress().done < 1:
            time.sleep(_POLL_SECONDS)
        rows = _rows(urls)
        while (now := _rows(urls)) == rows:
            time.sleep(_POLL_SECONDS)
        other = 1 - _worker(now, rows)
        state = (first, second)[other].job(route, job.location).cancel()
        cancelled = last = time.monotonic()
        rows = _rows(urls)
        while time.monotonic() - last < 2:
            if (now := _rows(urls)) != rows:
                rows, last = now, time.monotonic()
            time.sleep(_POLL_SECONDS)
    return {"state": state.state, "seconds_of_computing_after": round(last - cancelled, 2)}


def _worker(now: Sequence[float], before: Sequence[float]) -> int:
    """Return the place of the gateway that has computed."""
    return next(place for place, rows in enumerate(now) if rows != before[place])


def _rows(urls: Sequence[str]) -> list[float]:
    """Return the batches that each gateway has computed."""
    return [sum_of(url, r"^omnivec2_batch_rows_count\S* (\S+)$") for url in urls]


def _ended_here(urls: Sequence[str]) -> int:
    """Return the number of jobs that the gateways have brought to their end."""
    return int(sum(sum_of(url, r'^omnivec2_jobs_ended_total{state="done"} (\S+)$') for url in urls))


def sum_of(url: str, pattern: str) -> float:
    """Return the sum of the metrics of a gateway whose lines match."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as response:
        text = response.read().decode()
    return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))


def document_of(url: str, location: str) -> Any:
    """Return the document of a job."""
    with urllib.request.urlopen(url + location, timeout=30) as response:
        return json.load(response)


@contextmanager
def running_redis(directory: Path) -> Iterator[str]:
    """Run a Redis on loopback until the block ends, and yield its address.

    Raises:
        RuntimeError: It is not installed, or does not start.
    """
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None:
        raise RuntimeError("redis-server is not installed: make install-system")
    (port,) = free_ports(1)
    command = [server, "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    process = subprocess.Popen(
        [*command, "--dir", str(directory)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        if not any("Ready to accept connections" in line for line in process.stdout):
            raise RuntimeError("redis-server does not start")
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--jobs", type=int, default=200, help="number of jobs")
    parser.add_argument("--route", default="audio/events", help="head that answers")
    parser.add_argument("--seconds", type=int, default=60, help="length of the sound of a job")
    parser.add_argument(
        "--long-seconds", type=int, default=3600, help="length of the one that is cancelled"
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
