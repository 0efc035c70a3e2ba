"""Has the service become slower? Its ratios to bare engine loops, against a committed baseline.

Image, text and tabular, with one client and sixteen, in under two minutes (``service_ratios`` says
what the ratios are). A ratio hardly depends on how fast the machine is, but on the kind of
processor, so there is a baseline per family of processors in ``loadtests/baselines``. The exit
status is 1 if a ratio has fallen by more than 15 % against it::

    python -m loadtests.benchmarks.quick
    python -m loadtests.benchmarks.quick --update      # this machine's figures become the baseline
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.table import Table

from loadtests.benchmarks.bare_loop import fastest_loop
from loadtests.benchmarks.cpu_family import cpu_family
from loadtests.benchmarks.service_ratios import (
    MANY_CLIENTS,
    Ratios,
    Round,
    chosen_engine,
    default_inputs,
    layouts,
    measure_round,
)
from loadtests.support.http_load import BUSY_MACHINE, LoadError
from loadtests.support.measured_gateway import CORES, ROOT, Gateway, unwind_on_sigterm
from omnivec2.terminal import make_console

BASELINES = ROOT / "loadtests" / "baselines"
MOST_FALL = 0.15
"""What measuring again may differ by; more is a change of the code, or of a library."""

RatioTable = Mapping[str, Mapping[str, float]]
"""Head's name -> number of clients, as text -> ratio."""


def main() -> int:
    """Measure, print the ratios, and compare them with the baseline of this processor."""
    started = time.monotonic()
    options = _options()
    unwind_on_sigterm()
    console = make_console()
    path = options.baselines / f"{cpu_family()}.json"
    try:
        results = measure(options, started)
    except LoadError as error:
        console.print(str(error), markup=False)
        console.print(BUSY_MACHINE)
        return 1
    baseline = read_baseline(path)
    console.print(_table(results, baseline))
    if options.update:
        write_baseline(path, results)
        console.print(f"wrote {path}")
        return 0
    if baseline is None:
        console.print(
            f"There is no baseline for processors like this one ({cpu_family()}), so nothing is "
            "compared. --update makes one."
        )
        return 0
    falls = find_falls(ratio_table(results), baseline, options.most_fall)
    for fall in falls:
        console.print(str(fall))
    if not falls:
        console.print(f"No ratio has fallen by more than {100 * options.most_fall:g} %.")
    return 1 if falls else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="write the baseline")
    parser.add_argument("--seconds", type=float, default=1.2, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=4, help="rounds, if there is time for them")
    parser.add_argument(
        "--time-limit", type=float, default=110.0, help="seconds after which no round begins"
    )
    parser.add_argument("--most-fall", type=float, default=MOST_FALL, help="share that passes")
    parser.add_argument("--baselines", type=Path, default=BASELINES)
    routes = [given.route for given in default_inputs()]
    parser.add_argument("--only", nargs="+", metavar="ROUTE", choices=routes, default=routes)
    options = parser.parse_args()
    if options.update and len(options.only) < len(routes):
        parser.error("a baseline holds all heads: leave out --only, or --update")
    return options


def measure(options: argparse.Namespace, started: float) -> list[Ratios]:
    """Start the service as it is by default, and measure it and the bare loops in turns.

    Args:
        options: The options of the command line.
        started: The monotonic time from which the time limit counts.

    Returns:
        The ratios per head; from fewer rounds than asked for if time ran out.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repositories = layouts(directory)
        served = ("--model-repo", str(directory / "served"))
        port = stack.enter_context(Gateway(*served)).port
        inputs = [given for given in default_inputs() if given.route in options.only]
        loops = [
            fastest_loop(repositories, given, chosen_engine(port, given.route)) for given in inputs
        ]
        rounds: list[list[Round]] = [[] for _ in inputs]
        for number in range(options.rounds):
            began = time.monotonic()
            for index, (given, (loop, batch)) in enumerate(zip(inputs, loops, strict=True)):
                rounds[index].append(measure_round(port, given, loop, batch, options.seconds))
            took = time.monotonic() - began
            if time.monotonic() - started + took > options.time_limit and number:
                break
        return [
            Ratios(given.route, f"{loop.describe()}, batch {batch}", tuple(of_head))
            for given, (loop, batch), of_head in zip(inputs, loops, rounds, strict=True)
        ]


def ratio_table(results: Sequence[Ratios]) -> dict[str, dict[str, float]]:
    """Return the median ratios per head and number of clients.

    Args:
        results: The measurements per head.
    """
    return {r.route: {"1": round(r.one, 3), str(MANY_CLIENTS): round(r.many, 3)} for r in results}


@dataclass(frozen=True)
class Fall:
    """A ratio that has fallen by more than measuring explains.

    Attributes:
        route: The head's name.
        clients: The number of clients.
        was: The ratio of the baseline.
        now: The ratio that was measured.
    """

    route: str
    clients: str
    was: float
    now: float

    def __str__(self) -> str:
        """Say what fell, and by how much."""
        share = 100 * (1 - self.now / self.was)
        return (
            f"{self.route} with {self.clients} client(s): {self.now:.2f} of the bare loop, "
            f"the baseline is {self.was:.2f}: {share:.0f} % less"
        )


def find_falls(now: RatioTable, baseline: RatioTable, most_fall: float) -> list[Fall]:
    """Compare ratios with those of a baseline.

    Args:
        now: The ratios that were measured.
        baseline: The ratios of the baseline; heads that it does not have are not compared.
        most_fall: The share that a ratio may have fallen by.

    Returns:
        The ratios that have fallen further.
    """
    return [
        Fall(route, clients, baseline[route][clients], ratio)
        for route, of_head in now.items()
        for clients, ratio in of_head.items()
        if clients in baseline.get(route, {}) and ratio < (1 - most_fall) * baseline[route][clients]
    ]


def read_baseline(path: Path) -> dict[str, dict[str, float]] | None:
    """Read the ratios of a baseline; None if there is none.

    Args:
        path: The file.
    """
    if not path.exists():
        return None
    document: dict[str, Any] = json.loads(path.read_text())
    ratios: dict[str, dict[str, float]] = document["ratios"]
    return ratios


def write_baseline(path: Path, results: Sequence[Ratios]) -> None:
    """Write ratios as the baseline of a family of processors.

    Args:
        path: The file.
        results: The measurements per head.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "ratios": ratio_table(results),
        "loops": {r.route: r.loop for r in results},
        "cores": CORES,
        "measured": date.today().isoformat(),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def _table(results: Sequence[Ratios], baseline: RatioTable | None) -> Table:
    table = Table(title="The service, as a share of bare loops of its engine (medians)")
    for column in ("head", "clients", "service", "bare loop", "ratio", "baseline", "loop"):
        table.add_column(column, justify="left" if column in ("head", "loop") else "right")
    for result in results:
        seen = result.summary()
        rows = (
            ("1", "service_ms", "loop_ms", "ms", result.one),
            (str(MANY_CLIENTS), "service_rate", "loop_rate", "/s", result.many),
        )
        for clients, service, loop, unit, ratio in rows:
            was = (baseline or {}).get(result.route, {}).get(clients)
            table.add_row(
                result.route,
                clients,
                f"{seen[service]['median']:.4g} {unit}",
                f"{seen[loop]['median']:.4g} {unit}",
                f"{ratio:.2f}",
                "" if was is None else f"{was:.2f}",
                result.loop,
            )
    return table


if __name__ == "__main__":
    sys.exit(main())
