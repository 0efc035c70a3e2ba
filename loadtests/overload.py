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
import base64
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from rich.table import Table

from loadtests.support.measured_gateway import REPORTS, ROOT, Gateway, write_report
from loadtests.traffic.corpus import auth_headers, check_address, find_targets
from loadtests.traffic.flood import Exchange, Job, Post, Result
from omnivec2.terminal import make_console

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
    console = make_console()
    with ExitStack() as stack:
        url, pid = options.url, options.pid
        if url is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            gateway = stack.enter_context(Gateway("--model-repo", directory))
            url, pid = f"http://127.0.0.1:{gateway.port}", gateway.pid
        check_address(url, allow_remote=False)
        figures = _measure(url, pid, options)
    checks = promises(figures, options)
    table = Table(title=f"{options.factor:g} times the sustainable rate for {options.seconds:g} s")
    for column in ("promise", "seen", "allowed", ""):
        table.add_column(column)
    for check in checks:
        table.add_row(check["name"], check["seen"], check["allowed"], "ok" if check["ok"] else "NO")
    console.print(table)
    content = {"what": "overload", "routes": list(options.routes), **figures, "promises": checks}
    console.print(f"wrote {write_report(options.reports, 'overload', content)}")
    return 0 if all(check["ok"] for check in checks) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="load this service, and start none")
    parser.add_argument("--pid", type=int, help="process of that service, to watch its memory")
    parser.add_argument(
        "--routes", nargs="+", default=ROUTES, help="heads that get requests in turn"
    )
    parser.add_argument("--factor", type=float, default=10.0, help="times the sustainable rate")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the overload")
    parser.add_argument(
        "--clients", type=int, default=8, help="clients that find the sustainable rate"
    )
    parser.add_argument(
        "--sustain-seconds", type=float, default=10.0, help="length of that measurement"
    )
    parser.add_argument(
        "--deadline-seconds", type=float, default=2.0, help="deadline of every request"
    )
    parser.add_argument(
        "--at-least", type=float, default=0.9, help="least share of the sustainable rate"
    )
    parser.add_argument(
        "--late-share", type=float, default=0.0, help="largest share of answers 504"
    )
    parser.add_argument("--health-ms", type=float, default=100.0, help="longest time of /healthz")
    parser.add_argument(
        "--health-share", type=float, default=1.0, help="least share of probes within that time"
    )
    parser.add_argument("--normal-within", type=float, default=5.0, help="seconds after the load")
    parser.add_argument("--memory-ratio", type=float, default=1.15, help="end against warm-up")
    parser.add_argument("--reports", type=Path, default=REPORTS)
    return parser.parse_args()


def _measure(url: str, pid: int | None, options: argparse.Namespace) -> Figures:
    mix = dict.fromkeys(options.routes, 1.0)
    headers = auth_headers() | {"X-Request-Timeout": str(options.deadline_seconds)}
    posts = [
        Post(
            path=target.path,
            headers={"Content-Type": "application/octet-stream", **sample.headers, **headers},
            body_base64=base64.b64encode(sample.body).decode(),
        )
        for target, sample in _in_turn(find_targets(url, ROOT / "tests" / "data", mix))
    ]

    def job(**fields: Any) -> Job:
        return Job(url=url, posts=posts, **fields)

    def closed(clients: int, seconds: float) -> list[Exchange]:
        return _finish(_start(job(kind="closed", clients=clients, seconds=seconds))).exchanges

    closed(options.clients, options.sustain_seconds / 2)  # warms up
    alone = closed(1, _ALONE_SECONDS)
    sustained = closed(options.clients, options.sustain_seconds)
    rate = _in_time(sustained, options.deadline_seconds) / options.sustain_seconds
    with _watching(pid) as memory:
        probing = _start(job(kind="probe", rate=_PROBES_PER_SECOND, seconds=options.seconds))
        flooding = _start(
            job(
                kind="open",
                rate=options.factor * rate,
                seconds=options.seconds,
                nice=_GENERATOR_NICE,
            )
        )
        probes = _finish(probing)  # ends with the load; the last answers may be yet to come
        after = closed(1, _AFTER_SECONDS)
        flood = _finish(flooding)
    return _figures(alone, rate, flood, probes, after, memory, options)


def _in_turn(targets: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield every file of every head, heads in turn, so that neighbours differ."""
    most = max(len(target.samples) for target in targets)
    for number in range(most):
        for target in targets:
            yield target, target.samples[number % len(target.samples)]


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
    span = max(e.at_seconds for e in flood.exchanges) or 1.0
    last = max(e.at_seconds + e.seconds for e in flood.exchanges)
    answered = sorted(e.seconds for e in flood.exchanges if e.status == 200) or [0.0]
    return {
        "alone_ms": round(1000 * normal, 1),
        "sustained_per_second": round(rate, 1),
        "sent_per_second": round(len(flood.exchanges) / span, 1),
        "in_time_per_second": round(
            _in_time(flood.exchanges, options.deadline_seconds) / options.seconds, 1
        ),
        "deadline_seconds": options.deadline_seconds,
        "answered_ms": {
            "p50": round(1000 * answered[len(answered) // 2]),
            "p99": round(1000 * answered[int(0.99 * (len(answered) - 1))]),
        },
        "statuses": {str(k): n for k, n in sorted(_statuses(flood.exchanges).items())},
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
    failed = {s: n for s, n in seen["statuses"].items() if s not in ("200", "429", "504")}
    late = seen["statuses"].get("504", 0) / sum(seen["statuses"].values())
    share = seen["in_time_per_second"] / max(seen["sustained_per_second"], 1e-9)
    sent = seen["sent_per_second"] / max(seen["sustained_per_second"], 1e-9)
    memory = seen["memory_mb"]["end"] / max(seen["memory_mb"]["start"], 1)
    health = seen["health_ms"]
    again = seen["normal_again_seconds"]
    rows = (
        ("load that arrived", f"{sent:.1f} x", f">= {0.9 * options.factor:g} x",
         sent >= 0.9 * options.factor),
        ("answered in time", f"{100 * share:.0f} %", f">= {100 * options.at_least:.0f} %",
         share >= options.at_least),
        ("admitted, but late (504)", f"{100 * late:.3f} %", f"<= {100 * options.late_share:g} %",
         late <= options.late_share),
        ("neither 200, 429 nor 504", str(failed or "none"), "none", not failed),
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
    return [{"name": n, "seen": s, "allowed": a, "ok": ok} for n, s, a, ok in known]


def _statuses(exchanges: Sequence[Exchange]) -> Counter[int]:
    return Counter(exchange.status for exchange in exchanges)


def _in_time(exchanges: Sequence[Exchange], deadline_seconds: float) -> int:
    return sum(e.status == 200 and e.seconds <= deadline_seconds for e in exchanges)


def _normal_again(after: Sequence[Exchange], normal: float) -> float | None:
    """Return the seconds until the median over a second is normal; None if it never is."""
    for start in range(int(_AFTER_SECONDS)):
        window = [e for e in after if start <= e.at_seconds < start + 1 and e.status == 200]
        if window and statistics.median(e.seconds for e in window) <= _NORMAL_RATIO * normal:
            return window[0].at_seconds
    return None


Running = tuple[subprocess.Popen[bytes], IO[bytes]]


def _start(job: Job) -> Running:
    """Start a process that does a job and writes its result into the file."""
    written = tempfile.TemporaryFile()  # noqa: SIM115 (_finish closes it)
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


def _finish(running: Running) -> Result:
    process, written = running
    with written:
        if process.wait():
            raise RuntimeError(f"a generator of load ended with {process.returncode}")
        written.seek(0)
        return Result.model_validate_json(written.read())


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
