"""Embeddings of texts that repeat: the cache of answers against the same service without it.

Texts are drawn from a number of different ones by Zipf's law: the n-th most frequent is sent with a
probability proportional to ``n ** -exponent``, as queries and words are. Two gateways run, one of
them with a cache; rounds go to one and the other in turn, and each round draws anew::

    python -m loadtests.repeated_texts
    python -m loadtests.repeated_texts --texts 20000 --cache-mib 4

The exit code is 1 if an answer of the cache is not the answer of the service without it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from loadtests.support.measured_gateway import Gateway, report_parser, write_report
from omnivec2.terminal import make_console
from omnivec2.wordpiece import FIRST_WORD_ID, SIZE, tokenizer

_PATH = "/v1/embeddings"
_WORDS = (6, 30)
"""The fewest and the most words of a text."""


@dataclass
class Round:
    """What the clients of one round saw.

    Attributes:
        seconds: The latencies of answers by what ``Cache-Status`` said: hit, miss or off.
        wall_seconds: The length of the round.
        received: The vectors by text, of some texts.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    wall_seconds: float = 0.0
    received: dict[str, list[float]] = field(default_factory=dict)

    @property
    def all_seconds(self) -> list[float]:
        """The latencies of all answers."""
        return [value for values in self.seconds.values() for value in values]


def main() -> int:
    """Measure, print a table and write a report; return 1 if answers differ."""
    options = _options()
    rng = np.random.default_rng(options.seed)
    texts = make_texts(options.texts, rng)
    served: tuple[str, ...]
    rounds: dict[str, list[Round]] = {"without": [], "with": []}
    with ExitStack() as stack:
        ports = {}
        for name, mib in (("without", 0), ("with", options.cache_mib)):
            environment = {**os.environ, "OMNIVEC2_RESPONSE_CACHE_MIB": str(mib)}
            served = ("--model-repo", str(options.model_repo), "--checkpoint", "none")
            if options.model_repo is None:
                served = ("--model-repo", stack.enter_context(tempfile.TemporaryDirectory()))
            gateway = Gateway(*served, "--only", "text/embedding", environment=environment)
            ports[name] = stack.enter_context(gateway).port
        for number in range(options.rounds):
            for name, port in ports.items():
                drawn = draw_texts(texts, options.exponent, rng)
                rounds[name].append(asyncio.run(run_round(port, drawn, options)))
                print(f"round {number + 1} of {options.rounds}, {name} a cache", file=sys.stderr)
    figures = {name: summarise(found) for name, found in rounds.items()}
    largest = largest_difference(rounds)
    _print(figures, largest)
    content = {
        "what": "repeated texts",
        "head": "text/embedding",
        "path": _PATH,
        **{n: v for n, v in vars(options).items() if n not in ("reports", "model_repo")},
        **figures,
        "largest_difference": largest,
    }
    print(f"wrote {write_report(options.reports, 'repeated-texts', content)}")
    return 0 if largest is not None and largest <= options.tolerance else 1


def _options() -> argparse.Namespace:
    parser = report_parser(__doc__)
    parser.add_argument("--texts", type=int, default=10_000, help="number of different texts")
    parser.add_argument("--exponent", type=float, default=1.0, help="exponent of Zipf's law")
    parser.add_argument("--cache-mib", type=int, default=64, help="size of the cache")
    parser.add_argument("--clients", type=int, default=8, help="clients in a closed loop")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each service")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a round")
    parser.add_argument("--seed", type=int, default=0, help="seed of texts and draws")
    parser.add_argument(
        "--tolerance", type=float, default=0.02, help="largest difference between two vectors"
    )
    parser.add_argument(
        "--model-repo", type=Path, help="serve this repository, not the reference network"
    )
    return parser.parse_args()


def make_texts(count: int, rng: np.random.Generator) -> list[str]:
    """Return different texts of random words."""
    words = [
        word
        for word in (tokenizer().id_to_token(index) for index in range(FIRST_WORD_ID, SIZE))
        if word and word.isalpha() and word.isascii()
    ]
    lengths = rng.integers(*_WORDS, count)
    return [" ".join(rng.choice(words, length)) for length in lengths]


def draw_texts(texts: Sequence[str], exponent: float, rng: np.random.Generator) -> list[str]:
    """Return many texts in the order in which they are sent, drawn by Zipf's law."""
    weights = np.arange(1, len(texts) + 1, dtype=float) ** -exponent
    places = rng.choice(len(texts), 200_000, p=weights / weights.sum())
    return [texts[place] for place in places]


async def run_round(port: int, drawn: Sequence[str], options: argparse.Namespace) -> Round:
    """Let clients send texts for a while, each the next one as soon as it has an answer."""
    found = Round()
    source = iter(drawn)
    started = time.perf_counter()

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while time.perf_counter() - started < options.seconds:
                if (text := next(source, None)) is None:
                    return
                sent = time.perf_counter()
                outcome, body = await _post(reader, writer, text)
                found.seconds.setdefault(outcome, []).append(time.perf_counter() - sent)
                if len(found.received) < 1000:
                    found.received[text] = json.loads(body)["data"][0]["embedding"]
        finally:
            writer.close()

    await asyncio.gather(*(work() for _ in range(options.clients)))
    found.wall_seconds = time.perf_counter() - started
    return found


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: str
) -> tuple[str, bytes]:
    """Return what the cache says of an answer, and its body.

    Raises:
        RuntimeError: The answer is not 200.
    """
    body = json.dumps({"input": text, "model": "text/embedding"}).encode()
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (_PATH.encode(), len(body), body)
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    answer = await reader.readexactly(int(headers["content-length"]))
    if head[9:12] != "200":
        raise RuntimeError(f"answered {head[9:12]}: {answer[:200]!r}")
    status = headers.get("cache-status")
    return ("off" if status is None else "hit" if "hit" in status else "miss"), answer


def summarise(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return rates and latencies of a service over all of its rounds."""
    every = np.array([value for one in rounds for value in one.all_seconds])
    figures: dict[str, Any] = {
        "per_second": [round(len(one.all_seconds) / one.wall_seconds, 1) for one in rounds],
        "requests": len(every),
        "ms": _percentiles(every),
    }
    for outcome in ("hit", "miss"):
        values = np.array([value for one in rounds for value in one.seconds.get(outcome, ())])
        if len(values):
            figures[outcome] = {"share": round(len(values) / len(every), 4)}
            figures[outcome]["ms"] = _percentiles(values)
    return figures


def _percentiles(seconds: Any) -> dict[str, float]:
    return {f"p{p}": round(1000 * float(np.percentile(seconds, p)), 2) for p in (50, 95, 99)}


def largest_difference(rounds: dict[str, list[Round]]) -> float | None:
    """Return the largest difference of a number of a vector that both services gave.

    None if no text was answered by both.
    """
    with_cache = {t: v for one in rounds["with"] for t, v in one.received.items()}
    without = {t: v for one in rounds["without"] for t, v in one.received.items()}
    both = with_cache.keys() & without.keys()
    return max(
        (float(np.abs(np.subtract(with_cache[text], without[text])).max()) for text in both),
        default=None,
    )


def _print(figures: dict[str, dict[str, Any]], largest: float | None) -> None:
    table = Table(title="embeddings of repeated texts")
    for column in ("cache", "per second", "median ms", "95 % ms", "99 % ms", "hits"):
        table.add_column(column, justify="right")
    for name, of_one in figures.items():
        times = of_one["ms"]
        table.add_row(
            name,
            f"{float(np.median(of_one['per_second'])):.0f}",
            *(f"{times[p]:.2f}" for p in ("p50", "p95", "p99")),
            f"{100 * of_one.get('hit', {}).get('share', 0):.1f} %",
        )
    console = make_console()
    console.print(table)
    console.print(f"largest difference of a number: {largest}")


if __name__ == "__main__":
    sys.exit(main())
