"""An hour of sound and ten minutes of video as jobs: how long they take, and how much memory.

Each is compared with a short one that is cut into pieces, too: the memory of the gateway and of its
processes must not grow with the length::

    python -m loadtests.jobs.long_recordings
    python -m loadtests.jobs.long_recordings --sound-seconds 600 --video-seconds 150
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table

from loadtests.jobs.recordings import write_sound, write_video
from loadtests.support.measured_gateway import (
    Gateway,
    report_parser,
    unwind_on_sigterm,
    write_report,
)
from loadtests.support.process_memory import tree_memory
from omnivec2.terminal import make_console
from omnivec2_api.client import Client

_SHORT = {"sound": 330, "video": 130}
"""Seconds just over the limits of requests."""

_FLAT = 1.05
"""The ratio of the memory with a long recording to that with a short one that counts as flat."""

_SAMPLE_SECONDS = 0.1

Figures = dict[str, Any]


def main() -> int:
    """Measure, print a table and write a report; return 1 if memory grows with the length."""
    unwind_on_sigterm()
    options = _options()
    console = make_console()
    routes = {"sound": "audio/events", "video": "video/action"}
    lengths = {"sound": options.sound_seconds, "video": options.video_seconds}
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            **os.environ,
            "OMNIVEC2_JOBS_STORE": "sqlite",
            "OMNIVEC2_JOBS_DIR": f"{directory}/jobs",
        }
        only = [word for route in routes.values() for word in ("--only", route)]
        with Gateway(*only, environment=environment) as gateway:
            figures = {
                kind: _measure(gateway, kind, route, lengths[kind], Path(directory))
                for kind, route in routes.items()
            }
    table = Table(title="long recordings as jobs")
    for column in ("", "length", "file", "time", "memory at most", "of a short one"):
        table.add_column(column)
    for kind, seen in figures.items():
        table.add_row(
            kind,
            f"{seen['recording_seconds']:,} s",
            f"{seen['file_mb']:,} MB",
            f"{seen['seconds']:,} s",
            f"{seen['memory_mb']:,} MB",
            f"{seen['memory_of_a_short_one_mb']:,} MB",
        )
    console.print(table)
    content = {"what": "long recordings as jobs", **figures}
    console.print(f"wrote {write_report(options.reports, 'jobs-long-recordings', content)}")
    is_flat = all(
        seen["memory_mb"] <= _FLAT * seen["memory_of_a_short_one_mb"] for seen in figures.values()
    )
    return 0 if is_flat else 1


def _measure(gateway: Gateway, kind: str, route: str, seconds: int, directory: Path) -> Figures:
    """Answer a short recording twice and then the long one; return the figures of that."""
    write = write_sound if kind == "sound" else write_video
    suffix = "wav" if kind == "sound" else "mp4"
    short = write(directory / f"short.{suffix}", _SHORT[kind])
    long = write(directory / f"long.{suffix}", seconds)
    _answer(gateway, route, short)
    baseline = _answer(gateway, route, short)
    seen = _answer(gateway, route, long)
    return {
        "recording_seconds": seconds,
        "file_mb": round(long.stat().st_size / 1e6, 1),
        "seconds": round(seen["seconds"], 1),
        "pieces": seen["pieces"],
        "memory_mb": round(seen["bytes"] / 1e6),
        "memory_of_a_short_one_mb": round(baseline["bytes"] / 1e6),
    }


def _answer(gateway: Gateway, route: str, path: Path) -> Figures:
    """Answer a recording as a job; return the time, the pieces and the most memory meanwhile."""
    started = time.monotonic()
    with Client(f"http://127.0.0.1:{gateway.port}") as client, watched_memory(gateway.pid) as most:
        job = client.start_job(route, path)
        job.wait()
        pieces = job.progress().total
    return {"seconds": time.monotonic() - started, "pieces": pieces, "bytes": most[0]}


@contextmanager
def watched_memory(pid: int) -> Iterator[list[int]]:
    """Yield a list whose item is the most memory that a process and those below it have taken.

    Args:
        pid: The id of the process.
    """
    most, is_over = [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(_SAMPLE_SECONDS):
            most[0] = max(most[0], tree_memory(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        is_over.set()
        thread.join()


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--sound-seconds", type=int, default=3600, help="length of the sound")
    parser.add_argument("--video-seconds", type=int, default=600, help="length of the video")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
