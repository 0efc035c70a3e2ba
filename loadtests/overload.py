"""Overload test: ten times the sustainable rate, with figures of answers, refusals and errors.

1. One client, then closed-loop clients: the normal latency, and the rate that can be sustained.
2. Ten times that rate arrives for a minute, from processes of a lower priority, while /healthz is
   probed every 100 ms from another one, and the memory is watched.
3. One client again: the time until the latency is normal.

Answers count if they are 200 and within the deadline that every request carries. The exit code
is 1 if one of the promises of ``docs/load-testing.md`` is broken::

    python -m loadtests.overload
    python -m loadtests.overload --routes image/classification --seconds 10
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from loadtests.support.measured_gateway import Gateway, report_parser
from loadtests.support.overload_promises import (
    add_load_options,
    as_figures,
    figures_of_answers,
    promises_of_answers,
    report,
)
from loadtests.traffic.corpus import check_address
from loadtests.traffic.flood import Exchange, Job, Result
from loadtests.traffic.flood_process import (
    count_in_time,
    encode_posts,
    finish,
    start,
)

ROUTES = (
    *("image/classification", "image/detection", "text/sentiment", "tabular/income"),
    *("audio/events", "timeseries/forecast", "xray/pneumonia", "graph/solubility"),
)
_GENERATOR_NICE = 10
_PROBES_PER_SECOND = 10.0
_ALONE_SECONDS = 3.0
_AFTER_SECONDS = 8.0
_NORMAL_RATIO = 2.0
"""A latency counts as normal again within this ratio of the one before the load."""

Figures = dict[str, Any]


def main() -> int:
    """Measure, print a table and write a report; return 1 if a promise is broken."""
    options = _options()
    with ExitStack() as stack:
        url, pid = options.url, options.pid
        if url is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            gateway = stack.enter_context(Gateway("--model-repo", directory))
            url, pid = f"http://127.0.0.1:{gateway.port}", gateway.pid
        check_address(url, allow_remote=False)
        figures = _measure(url, pid, options)
    content = {"what": "overload", "routes": list(options.routes), **figures}
    return report("overload", content, promises(figures, options), options)


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--url", help="load this service, and start none")
    parser.add_argument("--pid", type=int, help="process of that service, to watch its memory")
    parser.add_argument(
        "--routes", nargs="+", default=ROUTES, help="heads that get requests in turn"
    )
    add_load_options(parser, seconds=60.0, deadline_seconds=2.0)
    parser.add_argument(
        "--clients", type=int, default=8, help="clients that find the sustainable rate"
    )
    parser.add_argument("--health-ms", type=float, default=100.0, help="longest time of /healthz")
    parser.add_argument(
        "--health-share", type=float, default=1.0, help="least share of probes within that time"
    )
    parser.add_argument("--normal-within", type=float, default=5.0, help="seconds after the load")
    parser.add_argument("--memory-ratio", type=float, default=1.15, help="end against warm-up")
    return parser.parse_args()


def _measure(url: str, pid: int | None, options: argparse.Namespace) -> Figures:
    posts = encode_posts(url, options.routes, options.deadline_seconds)

    def job(**fields: Any) -> Job:
        return Job(url=url, posts=posts, **fields)

    def closed(clients: int, seconds: float) -> list[Exchange]:
        return finish(start(job(kind="closed", clients=clients, seconds=seconds))).exchanges

    closed(options.clients, options.sustain_seconds / 2)  # warms up
    alone = closed(1, _ALONE_SECONDS)
    sustained = closed(options.clients, options.sustain_seconds)
    rate = count_in_time(sustained, options.deadline_seconds) / options.sustain_seconds
    with _watching(pid) as memory:
        probing = start(job(kind="probe", rate=_PROBES_PER_SECOND, seconds=options.seconds))
        flooding = start(
            job(
                kind="open",
                rate=options.factor * rate,
                seconds=options.seconds,
                nice=_GENERATOR_NICE,
            )
        )
        probes = finish(probing)  # ends with the load; the last answers may be yet to come
        after = closed(1, _AFTER_SECONDS)
        flood = finish(flooding)
    return _figures(alone, rate, flood, probes, after, memory, options)


def _figures(
    alone: list[Exchange],
    rate: float,
    flood: Result,
    probes: Result,
    after: list[Exchange],
    memory: list[int],
    options: argparse.Namespace,
) -> Figures:
    normal = statistics.median(e.seconds for e in alone)
    health = sorted(1000 * (e.seconds if e.status == 200 else 60.0) for e in probes.exchanges)
    last = max(e.at_seconds + e.seconds for e in flood.exchanges)
    return {
        "alone_ms": round(1000 * normal, 1),
        "sustained_per_second": round(rate, 1),
        **figures_of_answers(flood.exchanges, options),
        "refused_without_retry_after": sum(
            e.status == 429 and not e.retry_after.isdigit() for e in flood.exchanges
        ),
        "retry_after_seconds": dict(
            sorted(Counter(e.retry_after for e in flood.exchanges if e.status == 429).items())
        ),
        "seconds_until_the_last_answer": round(last - options.seconds, 2),
        "health_ms": {
            "max": round(health[-1], 1),
            "p99": round(health[int(0.99 * (len(health) - 1))], 1),
            "share_in_time": sum(ms < options.health_ms for ms in health) / len(health),
        },
        "memory_mb": {
            name: round(value / 2**20)
            for name, value in zip(("start", "most", "end"), _memory(memory), strict=True)
        },
        "normal_again_seconds": _normal_again(after, normal),
        "generator_cpu_share": round(flood.cpu_seconds / options.seconds, 2),
    }


def promises(seen: Figures, options: argparse.Namespace) -> list[Figures]:
    """Compare the figures with the promises under overload.

    Args:
        seen: The figures of the run.
        options: The options of the command line, with the limits.

    Returns:
        One row per promise: its name, what was seen, what is allowed, and whether it holds.
    """
    share = seen["in_time_per_second"] / max(seen["sustained_per_second"], 1e-9)
    sent = seen["sent_per_second"] / max(seen["sustained_per_second"], 1e-9)
    memory = seen["memory_mb"]["end"] / max(seen["memory_mb"]["start"], 1)
    health = seen["health_ms"]
    again = seen["normal_again_seconds"]
    rows = (
        *promises_of_answers(sent, share, seen["statuses"], options),
        ("429 without Retry-After", str(seen["refused_without_retry_after"]), "0",
         not seen["refused_without_retry_after"]),
        ("/healthz", f"max {health['max']:.0f} ms, {100 * health['share_in_time']:.1f} % in time",
         f"< {options.health_ms:g} ms, {100 * options.health_share:g} %",
         health["share_in_time"] >= options.health_share),
        ("memory", f"{memory:.2f} x", f"<= {options.memory_ratio:g} x",
         memory <= options.memory_ratio),
        ("normal again", "never" if again is None else f"after {again:.1f} s",
         f"<= {options.normal_within:g} s", again is not None and again <= options.normal_within),
    )  # fmt: skip
    known = [row for row in rows if row[0] != "memory" or seen["memory_mb"]["start"]]
    return as_figures(known)


def _normal_again(after: Sequence[Exchange], normal: float) -> float | None:
    """Return the seconds until the median over a second is normal; None if it never is."""
    for second in range(int(_AFTER_SECONDS)):
        window = [e for e in after if second <= e.at_seconds < second + 1 and e.status == 200]
        if window and statistics.median(e.seconds for e in window) <= _NORMAL_RATIO * normal:
            return window[0].at_seconds
    return None


@contextmanager
def _watching(pid: int | None) -> Iterator[list[int]]:
    """Record the resident bytes of a process every second; none if there is no process."""
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while pid is not None:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
            seen.append(int(kilobytes) * 1024)
            if done.wait(1.0):
                break

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _memory(seen: Sequence[int]) -> tuple[int, int, int]:
    return (seen[0], max(seen), seen[-1]) if seen else (0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
