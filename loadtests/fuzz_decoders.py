"""Send the service tens of thousands of damaged files, and watch what it must never do.

Every modality's sample files are damaged at random (``traffic/mutations``; the same seed damages
them alike) and sent with a deadline, while a neighbour sends good requests all the time. Whatever
the files are, there must be no answer 5xx, none later than two seconds after its deadline, no
neighbour without its answer, and the memory must come back. Whoever is asked to come again, since
a few files take all decoders for seconds, does so. A file that breaks this is kept::

    python -m loadtests.fuzz_decoders
    python -m loadtests.fuzz_decoders --seconds 3600 --files 0 --seed 7 --only pointcloud
"""

from __future__ import annotations

import argparse
import http.client
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from loadtests.support.measured_gateway import ROOT, Gateway, unwind_on_sigterm
from loadtests.support.process_memory import tree_memory
from loadtests.traffic.corpus import Target, find_targets
from loadtests.traffic.mutations import mutants
from omnivec2.terminal import make_console

DEADLINE_SECONDS = 5.0
LATE_SECONDS = 2.0
MOST_MEMORY_BYTES = 150 * 2**20
"""The most that memory may grow after the warm-up. On one machine it was between 1,046 and
1,228 MiB then, and between 1,129 and 1,197 in the end: engines arrange some graphs late. A leak
of 8 KiB a file would be more."""
_SETTLE_SECONDS = 30.0
_TURN_SECONDS = 1.0
_PATIENCE_SECONDS = 60.0
_SENDERS = 6
_TOLD_CHARACTERS = 300
_TRIES = 5
"""How often a request is sent until it is answered otherwise than by 429."""
_LEAST_DECIDED = 0.8
"""The share of damaged files that must be read or refused for what they are."""
_NEIGHBOURS = ("text/sentiment", "image/classification")


@dataclass
class Findings:
    """What was seen, by all threads.

    Attributes:
        statuses: The number of answers: modality -> status -> number.
        mutations: The number of answers by the first change.
        faults: The descriptions of what must not happen.
        waits: The number of times that a damaged file was asked to come again.
        neighbour_answers: The number of good requests that were answered.
        neighbour_waits: The number of times that a good request was asked to come again.
        slowest_seconds: The longest time from a damaged file to its answer.
    """

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    mutations: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    waits: int = 0
    neighbour_answers: int = 0
    neighbour_waits: int = 0
    slowest_seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def files(self) -> int:
        """The number of damaged files that were answered."""
        return sum(sum(of_modality.values()) for of_modality in self.statuses.values())

    @property
    def decided(self) -> int:
        """The number of those that were not put off until they were given up."""
        put_off = http.HTTPStatus.TOO_MANY_REQUESTS
        return self.files - sum(of_modality[put_off] for of_modality in self.statuses.values())


def main() -> int:
    """Send the files, print what was seen, and return 1 if anything happened that must not."""
    options = _options()
    unwind_on_sigterm()
    console = make_console()
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        # A trunk that is compiled once more for a shape that came often is no memory that leaks.
        once = {**os.environ, "OMNIVEC2_STATIC_SHAPES": "0"}
        gateway = stack.enter_context(Gateway("--model-repo", directory, environment=once))
        targets = one_head_each(find_targets(f"http://127.0.0.1:{gateway.port}", options.data, {}))
        if options.only:
            targets = [target for target in targets if target.modality in options.only]
        findings = Findings()
        # Engines arrange their weights in the beginning, and decoders import their libraries.
        warm_up = max(500, options.files // 10)
        _fuzz(gateway, targets, findings, warm_up, float("inf"), options)
        findings = Findings()
        before = tree_memory(gateway.pid)
        started = time.monotonic()
        _fuzz(gateway, targets, findings, options.files, started + options.seconds, options)
        seconds = time.monotonic() - started
        after = _settled_memory(gateway.pid, before)
    if after - before > MOST_MEMORY_BYTES:
        findings.faults.append(
            f"memory: {(after - before) / 2**20:.0f} MiB above the start after it had settled"
        )
    if findings.decided < _LEAST_DECIDED * findings.files:
        findings.faults.append(
            f"only {findings.decided:,} of {findings.files:,} files were looked at: there was no "
            "room for the others; run it with less beside it"
        )
    console.print(_table(findings))
    for line in (
        f"{findings.files:,} damaged files in {seconds:.0f} s (seed {options.seed}), "
        f"{findings.waits:,} times asked to come again",
        f"slowest answer: {findings.slowest_seconds:.2f} s",
        f"good requests answered beside them: {findings.neighbour_answers:,} "
        f"({findings.neighbour_waits:,} times asked to come again)",
        f"memory: {before / 2**20:.0f} MiB before, {after / 2**20:.0f} MiB after",
    ):
        console.print(line)
    for fault in findings.faults[:20]:
        console.print(fault, style="red", markup=False)
    if findings.files < options.at_least:
        console.print(f"fewer than {options.at_least:,} files in {options.seconds:g} s")
        return 1
    return 1 if findings.faults else 0


def one_head_each(targets: Sequence[Target]) -> list[Target]:
    """Return one head of each modality that is sent as files: the one that takes the most."""
    best: dict[str, Target] = {}
    for target in targets:
        known = best.get(target.modality)
        if known is None or len(target.samples) > len(known.samples):
            best[target.modality] = target
    return list(best.values())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600, help="most time that files are sent")
    parser.add_argument(
        "--files", type=int, default=20_000, help="damaged files; 0: till time is up"
    )
    parser.add_argument("--at-least", type=int, default=0, help="fewer files are a failure")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="MODALITY", help="only these modalities")
    parser.add_argument("--data", type=Path, default=ROOT / "tests" / "data", help="whole files")
    parser.add_argument(
        "--keep", type=Path, default=ROOT / ".cache" / "fuzz", help="folder for files that break it"
    )
    return parser.parse_args()


def _fuzz(
    gateway: Gateway,
    targets: Sequence[Target],
    findings: Findings,
    files: int,
    until: float,
    options: argparse.Namespace,
) -> None:
    """Send damaged files from several threads, and good requests from one more."""
    stop = threading.Event()
    work = _Work(targets, files, until, options.seed)
    senders = [
        threading.Thread(target=_send, args=(gateway.port, work, findings, options.keep))
        for _ in range(_SENDERS)
    ]
    neighbour = threading.Thread(target=_be_neighbour, args=(gateway.port, targets, findings, stop))
    progress = threading.Thread(target=_tell, args=(findings, files, stop))
    for thread in (*senders, neighbour, progress):
        thread.start()
    for thread in senders:
        thread.join()
    stop.set()
    neighbour.join()
    progress.join()


class _Work:
    """The damaged files, one modality after the other in turns; taken by several threads."""

    def __init__(self, targets: Sequence[Target], files: int, until: float, seed: int) -> None:
        self._sources = [
            (target, mutants([sample.body for sample in target.samples], f"{seed} {target.route}"))
            for target in targets
        ]
        self._files, self._until = files, until
        self._taken = 0
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[tuple[Target, str, bytes]]:
        while True:
            with self._lock:
                if (self._files and self._taken >= self._files) or time.monotonic() > self._until:
                    return
                target, source = self._sources[self._taken % len(self._sources)]
                self._taken += 1
                what, data = next(source)
            yield target, what, data


def _send(port: int, work: _Work, findings: Findings, keep: Path) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
    for target, what, data in work:
        for _ in range(_TRIES):
            status, retry_after, seconds, fault = _try_file(connection, target.path, data)
            if status != http.HTTPStatus.TOO_MANY_REQUESTS:
                break
            with findings.lock:
                findings.waits += 1
            time.sleep(retry_after)
        with findings.lock:
            findings.statuses.setdefault(target.modality, Counter())[status] += 1
            findings.mutations[what.partition("+")[0]] += 1
            findings.slowest_seconds = max(findings.slowest_seconds, seconds)
            if fault:
                path = keep / f"{target.modality}-{len(findings.faults)}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                findings.faults.append(f"{target.route}: {fault} ({what}; kept as {path})")
    connection.close()


def _try_file(
    connection: http.client.HTTPConnection, path: str, data: bytes
) -> tuple[int, float, float, str]:
    """Send a file once.

    Returns:
        The status, 0 for none; the seconds to wait before asking again; the seconds until the
        answer came; and what is wrong with it, if anything.
    """
    started = time.monotonic()
    retry_after = 1.0
    try:
        response = _send_file(connection, path, data)
        response.read()
        status = response.status
        retry_after = float(response.headers.get("Retry-After", retry_after))
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        status, fault = 0, f"no answer: {error!r}"
    else:
        fault = f"answer {status}" if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else ""
    seconds = time.monotonic() - started
    if seconds > DEADLINE_SECONDS + LATE_SECONDS:
        fault = fault or f"answered after {seconds:.1f} s"
    return status, retry_after, seconds, fault


def _send_file(
    connection: http.client.HTTPConnection, path: str, data: bytes
) -> http.client.HTTPResponse:
    headers = {
        "Content-Type": "application/octet-stream",
        "X-Request-Timeout": str(DEADLINE_SECONDS),
    }
    connection.request("POST", path, data, headers)
    return connection.getresponse()


def _be_neighbour(
    port: int, targets: Sequence[Target], findings: Findings, stop: threading.Event
) -> None:
    """Send good files, and hold the service to the first answer of each."""
    good = [(t.path, t.samples[0].body) for t in targets if t.route in _NEIGHBOURS] or [
        (targets[0].path, targets[0].samples[0].body)
    ]
    while not stop.wait(0.1):
        for path, data in good:
            for _ in range(_TRIES):
                status, text, retry_after = _ask_once(port, path, data)
                if status != http.HTTPStatus.TOO_MANY_REQUESTS:
                    break
                # A busy service may ask to come again, and answers then.
                with findings.lock:
                    findings.neighbour_waits += 1
                stop.wait(retry_after)
            with findings.lock:
                findings.neighbour_answers += status == http.HTTPStatus.OK
                if status != http.HTTPStatus.OK:
                    findings.faults.append(f"a good request to {path}: {status} {text}")


def _ask_once(port: int, path: str, data: bytes) -> tuple[int, str, float]:
    """Return the status, 0 for none, the text, and the seconds to wait before asking again."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
    try:
        response = _send_file(connection, path, data)
        text = response.read().decode(errors="replace")[:_TOLD_CHARACTERS]
        return response.status, text, float(response.headers.get("Retry-After", 1))
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error), 0.0
    finally:
        connection.close()


def _tell(findings: Findings, files: int, stop: threading.Event) -> None:
    """Say how far it is, every ten seconds, for whoever waits."""
    while not stop.wait(10 * _TURN_SECONDS):
        of = f" of {files:,}" if files else ""
        print(f"{findings.files:,}{of} files", file=sys.stderr, flush=True)


def _settled_memory(pid: int, before: int) -> int:
    """Return the memory once it is back, or after half a minute."""
    until = time.monotonic() + _SETTLE_SECONDS
    while (memory := tree_memory(pid)) - before > MOST_MEMORY_BYTES and time.monotonic() < until:
        time.sleep(_TURN_SECONDS)
    return memory


def _table(findings: Findings) -> Table:
    table = Table(title="Answers to damaged files")
    table.add_column("modality")
    statuses = sorted({status for of in findings.statuses.values() for status in of})
    for status in statuses:
        table.add_column(str(status or "none"), justify="right")
    for modality, of in sorted(findings.statuses.items()):
        table.add_row(modality, *(f"{of[status]:,}" for status in statuses))
    return table


if __name__ == "__main__":
    raise SystemExit(main())
