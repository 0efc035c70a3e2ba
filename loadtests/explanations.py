"""Whether explanations name what matters: masked inputs, with the named tenth and a random tenth.

Every input is explained (``explain``). Then it is sent again with the tenth of its segments that
speak most for the answer masked, and with random tenths. What is compared is the share of the
answered class's score that is lost. The exit code is 1 if, for a head, the named tenths do not cost
more than the random ones::

    python -m loadtests.explanations --data shared/data
    python -m loadtests.explanations --samples --heads text/sentiment tabular/income
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from loadtests.explaining.data_sets import DATA_SETS, SAMPLES
from loadtests.explaining.maskable import MaskableInput
from loadtests.support.measured_gateway import REPORTS, ROOT, Gateway, write_report
from loadtests.traffic.corpus import check_address
from omnivec2.terminal import make_console

_RANDOM_TENTHS = 5
_SECONDS = 300
"""The time that a request may take."""
_RESAMPLED = 2000
"""Bootstrap samples of an interval."""


def main() -> int:
    """Measure, print a table and write a report; return 1 if a head's explanations say nothing."""
    options = _options()
    console = make_console()
    with ExitStack() as stack:
        url = options.url
        if url is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            # Masked copies by the hundred, also on a machine that is busy with other things.
            patient = os.environ | {"OMNIVEC2_REQUEST_TIMEOUT_SECONDS": str(_SECONDS)}
            gateway = stack.enter_context(Gateway("--model-repo", directory, environment=patient))
            url = f"http://127.0.0.1:{gateway.port}"
        check_address(url, allow_remote=False)
        rows: list[dict[str, Any]] = []
        for head in options.heads:
            rows.append(_measure(url, head, options))
            console.print(
                f"{head}: {rows[-1]['inputs']} inputs, {rows[-1]['median_ms']:.0f} ms each"
            )
    table = Table(title="Share of the score that is lost when a tenth of the input is masked")
    for column in ("head", "inputs", "named tenth", "random tenth", "difference", "named > random"):
        table.add_column(column)
    for row in rows:
        low, high = row["difference_interval"]
        table.add_row(
            row["head"], str(row["inputs"]), f"{row['named']:.3f}", f"{row['random']:.3f}",
            f"{row['named'] - row['random']:.3f} ({low:.3f} to {high:.3f})",
            f"{row['named_costs_more']:.0%}",
        )  # fmt: skip
    console.print(table)
    content = {"what": "explanations", "part": "samples" if options.samples else options.part}
    content |= {"random_tenths": _RANDOM_TENTHS, "seed": options.seed, "rows": rows}
    console.print(f"wrote {write_report(options.reports, 'explanations', content)}")
    return 0 if options.samples or all(r["difference_interval"][0] > 0 for r in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="a service on loopback; by default one is started")
    parser.add_argument("--data", type=Path, default=ROOT / "shared/data", help="the data sets")
    parser.add_argument("--part", choices=("test", "val"), default="test")
    parser.add_argument("--samples", action="store_true", help="the page's samples instead")
    parser.add_argument("--heads", nargs="+", choices=DATA_SETS, help="by default all there are")
    parser.add_argument("--inputs", type=int, default=100, help="inputs of each head")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reports", type=Path, default=REPORTS)
    options = parser.parse_args()
    known = SAMPLES if options.samples else DATA_SETS
    options.heads = options.heads or list(known)
    if missing := set(options.heads) - set(known):
        parser.error(f"no samples of {', '.join(sorted(missing))}; known are {', '.join(known)}")
    return options


def _inputs(head: str, options: argparse.Namespace) -> Iterator[MaskableInput]:
    if options.samples:
        return SAMPLES[head](ROOT / "service/static/samples")
    rng = np.random.default_rng(options.seed)

    def choose(count: int) -> list[int]:
        chosen: list[int] = rng.permutation(count)[: options.inputs].tolist()
        return chosen

    return DATA_SETS[head](options.data, choose, options.part)


def _measure(url: str, head: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one head."""
    rng = np.random.default_rng(options.seed)
    labels = len(_post_json(f"{url}/models/{head}")["labels"])
    named: list[float] = []
    at_random: list[float] = []
    seconds: list[float] = []
    evaluations: list[int] = []
    for one in _inputs(head, options):
        started = time.perf_counter()
        # Rows of a table are inputs in a list already.
        value = [one.value] if head.startswith("tabular/") else one.value
        body = {"inputs": value, "parameters": {"explain": True}}
        explanation = _post_json(f"{url}/predict/{head}", body)["explanations"][0]
        seconds.append(time.perf_counter() - started)
        evaluations.append(explanation["evaluations"])
        segments = explanation["segments"]
        count = math.ceil(len(segments) / 10)
        best = sorted(segments, key=lambda segment: -segment["value"])[:count]
        draws = [rng.choice(len(segments), count, replace=False) for _ in range(_RANDOM_TENTHS)]
        chosen = [best, *([segments[index] for index in draw] for draw in draws)]
        masked = [one.masked(places) for places in chosen]
        scores = _scores(url, head, [one.value, *masked], labels, explanation["label"])
        lost = [(scores[0] - score) / scores[0] for score in scores[1:]]
        named.append(lost[0])
        at_random.append(float(np.mean(lost[1:])))
    difference = np.subtract(named, at_random)
    return {
        "head": head,
        "inputs": len(named),
        "evaluations": float(np.median(evaluations)),
        "median_ms": 1000 * float(np.median(seconds)),
        "named": float(np.mean(named)),
        "random": float(np.mean(at_random)),
        "named_costs_more": float(np.mean(difference > 0)),
        "difference_interval": _interval(difference),
    }


def _scores(url: str, head: str, inputs: Sequence[Any], labels: int, label: str) -> list[float]:
    """Return the score of a label for each input."""
    body = {"inputs": list(inputs), "parameters": {"top_k": labels}}
    answers = _post_json(f"{url}/predict/{head}", body)
    return [next(item["score"] for item in one if item["label"] == label) for one in answers]


def _interval(values: Any) -> list[float]:
    """Return the 95 % interval of the mean by the bootstrap."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (_RESAMPLED, len(values))).mean(axis=1)
    return [float(edge) for edge in np.percentile(means, [2.5, 97.5])]


def _post_json(url: str, body: Any = None) -> Any:
    """Return the JSON answer to a body, or of a page without one."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
