"""The service against bare loops of the engine it chose, per head, with one client and sixteen.

Two ratios per head, both 1 where the service costs nothing:

* sixteen clients: answers per second of the service / samples per second of the loop at its best
  batch;
* one client: median time of the loop for one sample / median time of the service's answer.
"""

from __future__ import annotations

import json
import statistics
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.benchmarks.bare_loop import BareLoop, LoopInput
from loadtests.support.http_load import HttpRequest, load_server
from loadtests.support.measured_gateway import ROOT

MANY_CLIENTS = 16

_DATA = ROOT / "tests" / "data"


def _first_row() -> bytes:
    rows = json.loads((_DATA / "tabular" / "adult_rows.json").read_text())
    return json.dumps({"inputs": rows[:1]}).encode()


def default_inputs() -> list[LoopInput]:
    """Return a picture, a sentence and a row of a table, for one head each."""
    sentence = (_DATA / "text" / "review.txt").read_text().strip()
    return [
        LoopInput(
            "image/classification",
            (_DATA / "image" / "blood_smear.jpg").read_bytes(),
            "image/jpeg",
        ),
        LoopInput("text/sentiment", json.dumps({"inputs": sentence}).encode(), "application/json"),
        LoopInput("tabular/income", _first_row(), "application/json"),
    ]


@dataclass(frozen=True)
class Round:
    """What was measured of one head in one round.

    Attributes:
        service_rate: The service's answers per second with many clients.
        loop_rate: The loop's samples per second at its best batch.
        service_ms: The service's median latency with one client, in milliseconds.
        loop_ms: The loop's median time of one sample, in milliseconds.
    """

    service_rate: float
    loop_rate: float
    service_ms: float
    loop_ms: float

    @property
    def many(self) -> float:
        """The ratio with many clients."""
        return self.service_rate / self.loop_rate

    @property
    def one(self) -> float:
        """The ratio with one client."""
        return self.loop_ms / self.service_ms


@dataclass(frozen=True)
class Ratios:
    """The medians over the rounds of one head.

    Attributes:
        route: The head's name.
        loop: The engine, precision and layout of the loop, and its batch.
        rounds: The measurements.
    """

    route: str
    loop: str
    rounds: Sequence[Round]

    @property
    def many(self) -> float:
        """The median ratio with many clients."""
        return statistics.median(r.many for r in self.rounds)

    @property
    def one(self) -> float:
        """The median ratio with one client."""
        return statistics.median(r.one for r in self.rounds)

    def summary(self) -> dict[str, Any]:
        """Return route, loop, medians and ranges, for a report."""
        rows: dict[str, Any] = {"route": self.route, "loop": self.loop}
        for name in ("service_rate", "loop_rate", "service_ms", "loop_ms", "many", "one"):
            values = [float(getattr(r, name)) for r in self.rounds]
            rows[name] = spread(values)
        return rows


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and greatest of some values, with four digits."""
    numbers = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {name: float(f"{value:.4g}") for name, value in numbers.items()}


def measure_round(port: int, given: LoopInput, loop: BareLoop, batch: int, seconds: float) -> Round:
    """Measure a head of the service and its bare loop in turns.

    Args:
        port: The service's port.
        given: The input.
        loop: The bare loop of the same head.
        batch: The loop's best batch.
        seconds: The length of each of the four measurements, besides a quarter of it to warm up.
    """
    request = HttpRequest(f"/predict/{given.route}", given.body, given.content_type)
    warm = seconds / 4
    one = load_server(port, request, connections=1, warm_seconds=warm, seconds=seconds)
    loop_ms = loop.one_at_a_time(seconds).percentile_ms(50)
    many = load_server(port, request, connections=MANY_CLIENTS, warm_seconds=warm, seconds=seconds)
    loop.samples_per_second(batch, warm)
    return Round(many.rate, loop.samples_per_second(batch, seconds), one.p50_ms, loop_ms)


def chosen_engine(port: int, route: str) -> tuple[str, str] | None:
    """Ask the service which engine it runs a head with.

    Args:
        port: The service's port.
        route: The head's name.

    Returns:
        Engine and precision, or None if the service does not say.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/models/{route}", timeout=10) as answer:
        return read_engine(json.load(answer))


def read_engine(model: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return engine and precision from the description of a model, if it has them."""
    execution = model.get("execution")
    if not execution:
        return None
    return str(execution["engine"]), str(execution["precision"])


def layouts(stack_directory: Path) -> list[Path]:
    """Assemble the reference checkpoint in every layout.

    Args:
        stack_directory: The directory of the repositories.

    Returns:
        The repositories.
    """
    from export.repository.assembly import assemble
    from export.repository.layouts import Layout
    from loadtests.support.measured_gateway import CHECKPOINT

    repositories = []
    for layout in Layout:
        assemble(CHECKPOINT, stack_directory / layout, layout)
        repositories.append(stack_directory / layout)
    return repositories
