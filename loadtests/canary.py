"""A canary on the reference checkpoint: shares, memory, a version that fails, swapped labels.

1. At a share of 10 %, 2,000 requests under load: how many get the new version, and none fails. The
   memory of the gateway before and after the new version was loaded.
2. A version that fails for texts of one length, which no test before tries, under load: how soon
   it is rolled back, and no caller sees a failure.
3. A version with two labels swapped, as a shadow: how often its answers differ.

The exit code is 1 if one of these is not so::

    python -m loadtests.canary
    python -m loadtests.canary --requests 200
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from loadtests.support.changed_heads import (
    Change,
    fails_for_texts_of,
    same_answers,
    write_version,
)
from loadtests.support.measured_gateway import CHECKPOINT, Gateway, report_parser, write_report
from loadtests.support.process_memory import process_memory
from omnivec2.canary.canary_state import CanaryLimits, CanaryPlan
from omnivec2.passport import WEIGHTS_FILE
from omnivec2.terminal import make_console
from rollout.canary_heads import add_candidate, promote, roll_back
from service.http.gateway_client import wait_for_canary

ROUTE = "text/sentiment"
_TEXTS = (
    "a quiet film that finds more in a glance than most find in a war",
    "the plot is thin and the jokes are thinner, and it goes on for two hours and a half",
    "I would watch it again tomorrow, if only for the last ten minutes of it",
    "nobody in this picture behaves as anybody has ever behaved anywhere at all",
)
_BAD_TOKENS = 57
_BAD = " ".join(["good"] * (_BAD_TOKENS - 2))
"""A text of a length that the tests of a new version do not try: between its first and last token
every word is one."""
_CLIENTS = 8
_SHARE = 10.0
_MOST_SECONDS = 30.0
_MIB = 2**20
_SETTLE_SECONDS = 6.0
"""Longer than between two trims of an idle gateway's heap."""
_SETTLED_BYTES = _MIB // 4


class Clients:
    """Clients on connections of their own that send texts one after the other.

    Args:
        port: The port of the gateway on loopback.
        texts: The texts, which are sent in turn.
    """

    def __init__(self, port: int, texts: tuple[str, ...]) -> None:
        self._port, self._texts = port, texts
        self._local = threading.local()

    def send(self, count: int) -> list[tuple[int, str, float]]:
        """Send a number of requests, and return status, version and seconds of each."""
        with ThreadPoolExecutor(_CLIENTS) as pool:
            return list(pool.map(self._send_one, range(count)))

    @contextmanager
    def sending(self) -> Iterator[list[tuple[int, str, float]]]:
        """Send requests all the time, and yield the list of what came back."""
        answers: list[tuple[int, str, float]] = []
        stop = threading.Event()

        def work() -> None:
            number = 0
            while not stop.is_set():
                answers.append(self._send_one(number))
                number += 1

        threads = [threading.Thread(target=work) for _ in range(_CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield answers
        finally:
            stop.set()
            for thread in threads:
                thread.join(_MOST_SECONDS)

    def _send_one(self, number: int) -> tuple[int, str, float]:
        if (connection := getattr(self._local, "connection", None)) is None:
            connection = self._local.connection = HTTPConnection("127.0.0.1", self._port)
        body = json.dumps({"inputs": self._texts[number % len(self._texts)]})
        started = time.perf_counter()
        connection.request("POST", f"/predict/{ROUTE}", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        seconds = time.perf_counter() - started
        return response.status, response.headers.get("X-Model-Version", ""), seconds


class Deployment:
    """A gateway over a repository of its own, and the versions of one head.

    Args:
        gateway: The gateway.
        directory: The directory of the repository and of changed checkpoints.
    """

    def __init__(self, gateway: Gateway, directory: Path) -> None:
        self.gateway, self._directory = gateway, directory
        self.repository = directory / "repository"
        self._versions = 0

    def add(self, change: Change, plan: CanaryPlan, swapped: tuple[int, int] | None = None) -> str:
        """Add a changed version as a canary, and wait until the gateway uses it."""
        self._versions += 1
        target = self._directory / f"changed {self._versions}"
        checkpoint = write_version(CHECKPOINT, target, ROUTE, change, swapped)
        canary = add_candidate(checkpoint, ROUTE, self.repository, plan)
        wait_for_canary(self._url, ROUTE, str(canary.version))
        return str(canary.version)

    def canary(self) -> dict[str, Any]:
        """Return the canary as the gateway shows it."""
        with urllib.request.urlopen(f"{self._url}/models/{ROUTE}", timeout=30) as response:
            shown: dict[str, Any] = json.load(response)["canary"]
        return shown

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"


def main() -> int:
    """Measure, print and write a report; return 1 if a promise is broken."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        repository = Path(name) / "repository"
        with Gateway("--model-repo", str(repository)) as gateway:
            deployment = Deployment(gateway, Path(name))
            figures = {
                "share": _measure_share(deployment, options.requests, options.settle_seconds),
                "failing": _measure_failing(deployment),
                "swapped": _measure_swapped(deployment, options.requests // 4),
            }
    console = make_console()
    for part, values in figures.items():
        console.print(f"{part}: {json.dumps(values)}", soft_wrap=True)
    content = {"what": "canary", "head": ROUTE, "clients": _CLIENTS, **figures}
    console.print(f"wrote {write_report(options.reports, 'canary', content)}")
    share, failing, swapped = figures["share"], figures["failing"], figures["swapped"]
    deviation = 2.0 * max(1.0, (2000 / options.requests) ** 0.5)
    holds = (
        abs(share["percent_new"] - _SHARE) <= deviation
        and share["failed"] == failing["seen_by_callers"] == 0
        and failing["seconds_until_rolled_back"] < _MOST_SECONDS
        and swapped["different"] > 0
    )
    console.print("the promises hold" if holds else "a promise is broken")
    return 0 if holds else 1


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="requests at a share of 10 %%")
    parser.add_argument(
        "--settle-seconds",
        type=float,
        default=_SETTLE_SECONDS,
        help="time between two looks at memory, until it stays",
    )
    return parser.parse_args()


def _measure_share(deployment: Deployment, requests: int, settle: float) -> dict[str, Any]:
    """Send requests while two versions are loaded; the new one is promoted at the end."""
    clients = Clients(deployment.gateway.port, _TEXTS)
    before = clients.send(requests)  # also what fills caches before memory is read
    memory = _settled_memory(deployment.gateway.pid, settle)
    version = deployment.add(same_answers, CanaryPlan(share=_SHARE))
    loaded = _settled_memory(deployment.gateway.pid, settle)
    answers = clients.send(requests)
    after = _settled_memory(deployment.gateway.pid, settle)
    counts = Counter(version for _, version, _ in answers)
    promote(ROUTE, deployment.repository)
    return {
        "requests": requests,
        "percent_new": round(100 * counts[version] / requests, 2),
        "failed": sum(status != 200 for status, _, _ in answers),
        "p50_ms_before": _p50_ms(before),
        "p50_ms_served": _p50_ms([each for each in answers if each[1] != version]),
        "p50_ms_new": _p50_ms([each for each in answers if each[1] == version]),
        "rss_mib_before": round(memory / _MIB, 1),
        "rss_mib_loaded": round(loaded / _MIB, 1),
        "rss_mib_after": round(after / _MIB, 1),
        "checkpoint_mib": round((CHECKPOINT / WEIGHTS_FILE).stat().st_size / _MIB, 1),
    }


def _measure_failing(deployment: Deployment) -> dict[str, Any]:
    """Send texts of which some make the new version fail, until it is rolled back."""
    clients = Clients(deployment.gateway.port, (*_TEXTS, _BAD))
    deployment.add(fails_for_texts_of(_BAD_TOKENS), CanaryPlan(share=_SHARE))
    started = time.monotonic()
    with clients.sending() as answers:
        while (canary := deployment.canary())["status"] == "running":
            if time.monotonic() - started > 2 * _MOST_SECONDS:
                break
            time.sleep(0.05)
        seconds = time.monotonic() - started
    roll_back(ROUTE, deployment.repository, "the end of the measurement")
    return {
        "seconds_until_rolled_back": round(seconds, 2),
        "requests": len(answers),
        "seen_by_callers": sum(status != 200 for status, _, _ in answers),
        "reason": canary["reason"],
    }


def _measure_swapped(deployment: Deployment, requests: int) -> dict[str, Any]:
    """Compare a version with two labels swapped in the shadow of the served one."""
    clients = Clients(deployment.gateway.port, _TEXTS)
    limits = CanaryLimits(max_disagreement=1.0)
    version = deployment.add(same_answers, CanaryPlan(shadow=True, limits=limits), swapped=(0, 1))
    answers = clients.send(requests)
    _wait_for_changes(deployment)
    canary = deployment.canary()
    roll_back(ROUTE, deployment.repository, "the end of the measurement")
    changes = canary.get("label_changes", [])
    return {
        "requests": requests,
        "answered_by_new": sum(seen == version for _, seen, _ in answers),
        "different": sum(change["count"] for change in changes),
        "label_changes": changes,
    }


def _wait_for_changes(deployment: Deployment) -> None:
    """Wait until the shadows that are queued have been compared."""
    last, until = -1, time.monotonic() + _MOST_SECONDS
    while time.monotonic() < until:
        changes = deployment.canary().get("label_changes", [])
        count = sum(change["count"] for change in changes)
        if count and count == last:
            return
        last = count
        time.sleep(0.5)


def _settled_memory(pid: int, seconds: float) -> int:
    """Return the resident memory once what requests and loading took is given back."""
    last = process_memory(pid)["Rss"]
    until = time.monotonic() + _MOST_SECONDS
    while time.monotonic() < until:
        time.sleep(seconds)
        now = process_memory(pid)["Rss"]
        if abs(now - last) < _SETTLED_BYTES:
            return now
        last = now
    return last


def _p50_ms(answers: list[tuple[int, str, float]]) -> float:
    return round(1000 * statistics.median(seconds for _, _, seconds in answers), 2)


if __name__ == "__main__":
    sys.exit(main())
