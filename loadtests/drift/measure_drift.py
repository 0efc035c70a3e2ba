"""Measure drift and live accuracy through a real gateway.

1. Random halves of each head's test set pass through its window: how many raise an alert?
2. Other inputs pass through it: blurred pictures, audio of 8,000 Hz, tables whose columns were
   shuffled or exchanged, thermal pictures of other cameras.
3. Labels of 500 test pictures are given as feedback, and the live accuracy is compared with that of
   the model card.

References of heads that have none are measured first, into a copy of the checkpoint. The exit code
is 1 if a half raises an alert, if other inputs do not, or if the live accuracy is outside of its
interval::

    python -m loadtests.drift.measure_drift --data ../shared/data
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.table import Table

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.drift.drift_cases import CASES, DriftCase
from loadtests.support.measured_gateway import CHECKPOINT, Gateway, report_parser, write_report
from omnivec2.checkpoint import read_checkpoint
from omnivec2.familiarity import REFERENCE_FILE, read_training_reference
from omnivec2.spec import HeadSpec
from omnivec2.terminal import LoggedProgress, make_console

_MOST_WINDOW = 200
_INPUTS_PER_REQUEST = 16
_WINDOWS_OF_OTHERS = 10
_SETTLE_SECONDS = 30.0
_NORMAL_95 = 1.96

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())

Json = dict[str, Any]


def main() -> int:
    """Measure, print tables and write a report; return 1 if a promise is broken."""
    options = _options()
    console = make_console()
    with tempfile.TemporaryDirectory() as directory:
        repository = _repository(Path(directory), options, console)
        rows: list[Json] = []
        for route in options.heads:
            case = CASES[route](options.data, 2 * _MOST_WINDOW)
            rows += measure_drift(case, repository, options.halves, console)
        feedback = None
        if options.labels and "image/classification" in options.heads:
            feedback = _measure_feedback(repository, options)
    console.print(_drift_table(rows, options.halves))
    content: Json = {"what": "drift", "halves": options.halves, "rows": rows, "feedback": feedback}
    if feedback is not None:
        console.print(
            f"live accuracy of {feedback['labels']} labels: {feedback['live']:.3f}; "
            f"offline: {feedback['offline']:.3f}, within {feedback['interval'][0]:.3f} to "
            f"{feedback['interval'][1]:.3f} of so few"
        )
    console.print(f"wrote {write_report(options.reports, 'drift', content)}")
    holds = all(row["alerts"] == (0 if row["is_usual"] else row["windows"]) for row in rows)
    holds = holds and (feedback is None or feedback["is_within"])
    console.print("the promises hold" if holds else "a promise is broken")
    return 0 if holds else 1


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="directory of data sets")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="prepared arrays")
    parser.add_argument("--heads", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--halves", type=int, default=50, help="random halves of each test set")
    parser.add_argument("--labels", type=int, default=500, help="labels given as feedback")
    return parser.parse_args()


def _repository(directory: Path, options: argparse.Namespace, console: Console) -> Path:
    """Return a model repository whose heads have references of drift."""
    checkpoint: Path = options.checkpoint
    heads = [head for head in read_checkpoint(checkpoint).heads if head.route in options.heads]
    repository = directory / "repository"
    missing = [head for head in heads if not _has_drift(checkpoint, head)]
    if missing:
        from omnivec2.training.familiarity.measure_reference import ReferenceMeasurement

        console.print(f"measuring the references of {', '.join(h.route for h in missing)}")
        checkpoint = Path(shutil.copytree(checkpoint, directory / "checkpoint"))
        assemble(checkpoint, repository, Layout.SHARED)
        measurement = ReferenceMeasurement(checkpoint, repository, options.data, options.cache)
        for head in missing:
            measurement.fit(head, lambda _: None)
        shutil.rmtree(repository)
    assemble(checkpoint, repository, Layout.SHARED)
    return repository


def _has_drift(checkpoint: Path, head: HeadSpec) -> bool:
    path = read_checkpoint(checkpoint).model_directory(head) / REFERENCE_FILE
    reference = read_training_reference(path)
    return reference is not None and reference.drift is not None


def measure_drift(case: DriftCase, repository: Path, halves: int, console: Console) -> list[Json]:
    """Return a row for the halves of the test set, and one for each kind of other inputs."""
    rng = random.Random(0)
    half = min(_MOST_WINDOW, len(case.usual) // 2)
    parts = [rng.sample(case.usual, half) for _ in range(halves)]
    usual = _readings(case.route, repository, half, {"test set": parts}, console)
    # Others are shown whole, where a test set is small.
    whole = min(_MOST_WINDOW, len(case.usual))
    windows = {kind: _windows(inputs, whole, rng) for kind, inputs in case.others.items()}
    others = _readings(case.route, repository, whole, windows, console)
    return [
        _row(case.route, kind, window, readings, is_usual=window_is_usual)
        for found, window, window_is_usual in ((usual, half, True), (others, whole, False))
        for kind, readings in found.items()
    ]


def _windows(inputs: Sequence[Any], window: int, rng: random.Random) -> list[list[Any]]:
    """Return random windows of inputs; if they fill one only, that one."""
    if len(inputs) > window:
        return [rng.sample(inputs, window) for _ in range(_WINDOWS_OF_OTHERS)]
    return [[inputs[index % len(inputs)] for index in range(window)]]


def _readings(
    route: str,
    repository: Path,
    window: int,
    windows: Mapping[str, Sequence[Sequence[Any]]],
    console: Console,
) -> dict[str, list[Json]]:
    """Return what the metrics say after each of the windows, which are sent to a gateway."""
    settings = {"OMNIVEC2_DRIFT_SHARE": "1", "OMNIVEC2_DRIFT_WINDOW": str(window)}
    found: dict[str, list[Json]] = {kind: [] for kind in windows}
    with (
        _gateway(repository, route, settings) as gateway,
        _Client(gateway, route) as client,
        LoggedProgress(*_COLUMNS, console=console) as progress,
    ):
        for kind, parts in windows.items():
            bar = progress.add_task(f"{route}: {kind}", total=len(parts))
            for part in parts:
                found[kind].append(client.fill_window(part))
                progress.advance(bar)
    return found


def _row(route: str, inputs: str, window: int, readings: Sequence[Json], *, is_usual: bool) -> Json:
    distances = sorted(reading["distance"] for reading in readings)
    stability = [reading["psi"] for reading in readings if reading["psi"] is not None]
    level, psi_level = readings[0]["level"], readings[0]["psi_level"]
    return {
        "head": route,
        "inputs": inputs,
        "is_usual": is_usual,
        "window": window,
        "windows": len(readings),
        "level": level,
        "median_distance": distances[len(distances) // 2],
        "least_distance": distances[0],
        "largest_distance": distances[-1],
        "alerts": sum(distance > level for distance in distances),
        "psi_level": psi_level,
        "largest_psi": max(stability, default=None),
        "psi_alerts": sum(value > psi_level for value in stability),
    }


def _drift_table(rows: Sequence[Json], halves: int) -> Table:
    table = Table(title=f"drift; of the test set, {halves} random halves")
    for column in ("head", "inputs", "window", "level", "distance", "alerts", "of scores"):
        table.add_column(column, justify="left" if column in ("head", "inputs") else "right")
    for row in rows:
        table.add_row(
            row["head"],
            row["inputs"],
            str(row["window"]),
            f"{row['level']:.2f}",
            f"{row['least_distance']:.2f} to {row['largest_distance']:.2f}",
            f"{row['alerts']} of {row['windows']}",
            f"{row['psi_alerts']} of {row['windows']}",
        )
    return table


def _measure_feedback(repository: Path, options: argparse.Namespace) -> Json:
    """Give the labels of test pictures; return the live accuracy beside the offline one."""
    case = CASES["image/classification"](options.data, options.labels)
    settings = {"OMNIVEC2_FEEDBACK_ANSWERS": "1000"}
    with (
        _gateway(repository, case.route, settings) as gateway,
        _Client(gateway, case.route) as client,
    ):
        for start in range(0, len(case.usual), _INPUTS_PER_REQUEST):
            stop = start + _INPUTS_PER_REQUEST
            request_id = client.predict(case.usual[start:stop])
            client.give_feedback(request_id, case.labels[start:stop])
        live = client.metric("omnivec2_live_accuracy")
        counted = client.metric("omnivec2_feedback_total")
    head = next(h for h in read_checkpoint(options.checkpoint).heads if h.route == case.route)
    offline = next(metric.value for metric in head.metrics if metric.name == "accuracy")
    assert live is not None
    margin = _NORMAL_95 * math.sqrt(offline * (1 - offline) / len(case.usual))
    return {
        "head": case.route,
        "labels": counted,
        "live": live,
        "offline": offline,
        "interval": [offline - margin, offline + margin],
        "is_within": abs(live - offline) <= margin,
    }


def _gateway(repository: Path, route: str, settings: dict[str, str]) -> Gateway:
    options = ("--model-repo", str(repository), "--checkpoint", "none", "--only", route)
    return Gateway(*options, environment={**os.environ, **settings})


class _Client:
    """A client of one head of a gateway."""

    def __init__(self, gateway: Gateway, route: str) -> None:
        self._route = route
        self._http = httpx2.Client(base_url=f"http://127.0.0.1:{gateway.port}", timeout=120)

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def predict(self, inputs: Sequence[Any]) -> str:
        """Send inputs, and return the id of the request."""
        body = {"inputs": list(inputs)}
        reply = self._http.post(f"/predict/{self._route}", json=body)
        reply.raise_for_status()
        return str(reply.headers["X-Request-ID"])

    def give_feedback(self, request_id: str, labels: Sequence[str]) -> None:
        """Give the labels of an answer."""
        reply = self._http.post(f"/feedback/{request_id}", json={"labels": list(labels)})
        reply.raise_for_status()

    def fill_window(self, inputs: Sequence[Any]) -> Json:
        """Send as many inputs as the window holds, and return what the metrics say then."""
        before = self.metric("omnivec2_drift_rows") or 0.0
        for start in range(0, len(inputs), _INPUTS_PER_REQUEST):
            self.predict(inputs[start : start + _INPUTS_PER_REQUEST])
        deadline = time.monotonic() + _SETTLE_SECONDS
        while (self.metric("omnivec2_drift_rows") or 0.0) < before + len(inputs):
            if time.monotonic() > deadline:
                raise RuntimeError("the gateway has not looked at all inputs")
            time.sleep(0.02)
        return {
            "distance": self.metric("omnivec2_drift_distance"),
            "level": self.metric("omnivec2_drift_alert_level"),
            "psi": self.metric("omnivec2_score_psi"),
            "psi_level": self.metric("omnivec2_score_psi_alert_level"),
        }

    def metric(self, name: str) -> float | None:
        """Return the sum of a metric over its labels; None if it has no value."""
        text = self._http.get("/metrics").text
        values = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values)) if values else None


if __name__ == "__main__":
    sys.exit(main())
