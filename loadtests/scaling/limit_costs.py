"""What do limits over several gateways cost? Decisions on keys, with and without a shared state.

It prints the time and the processor time that each kind of limit adds to a request::

    redis-server --port 6390 --save "" &
    python -m loadtests.scaling.limit_costs --store redis://127.0.0.1:6390

The store gets keys named ``benchmark``; use one of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from omnivec2.terminal import make_console
from service.access.api_keys import Key
from service.access.key_limits import KeyLimits
from service.access.key_usage import KeyUsage
from service.access.shared_limits import SharedLimits
from service.observability.gateway_metrics import Metrics
from service.shared_state.shared_store import SharedStore

_PLENTY = 1e9
"""A rate that nothing here uses up: what is granted costs more than what is refused."""

_KINDS = {
    "none": {},
    "requests": {"requests_per_second": _PLENTY},
    "requests, max_concurrent": {"requests_per_second": _PLENTY, "max_concurrent": 10**6},
    "requests, max_concurrent, compute": {
        "requests_per_second": _PLENTY,
        "max_concurrent": 10**6,
        "compute_seconds_per_minute": _PLENTY,
    },
}


@dataclass(frozen=True)
class Cost:
    """What limits add to a request.

    Attributes:
        median_ms: The median of its time, in milliseconds.
        p99_ms: The 99th percentile.
        processor_ms: The processor time of the gateway.
    """

    median_ms: float
    p99_ms: float
    processor_ms: float


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", default="redis://127.0.0.1:6379", help="the shared state")
    parser.add_argument("--requests", type=int, default=3000, help="requests of each kind")
    options = parser.parse_args()
    table = Table(title=f"{options.requests:,} requests of each kind, one after another")
    for column in ("limits of the key", "store", "median", "99th percentile", "processor time"):
        table.add_column(column, justify="right")
    for shared in ("", options.store):
        for name, limits in _KINDS.items():
            cost = asyncio.run(measure(shared, limits, options.requests))
            values = (cost.median_ms, cost.p99_ms, cost.processor_ms)
            table.add_row(name, shared and "shared", *(f"{value:.3f} ms" for value in values))
    make_console().print(table)
    return 0


async def measure(url: str, limits: dict[str, float], requests: int) -> Cost:
    """Return what limits cost.

    Args:
        url: The address of the store; empty to decide in this process alone.
        limits: The limits of the key.
        requests: The number of requests to measure.

    Raises:
        StoreAwayError: The store cannot be used.
    """
    store = SharedStore(url) if url else None
    if store is not None:
        await store.start()
        await store.run(lambda client: client.ping())
    shared = SharedLimits(store) if store is not None else None
    key_limits = KeyLimits(KeyUsage(Metrics().keys, store), shared)
    key = Key.model_validate({"name": "benchmark", "sha256": "0" * 64, **limits})
    try:
        await _time_requests(key_limits, key, requests // 10)  # loads scripts, connects
        started = time.process_time()
        seconds = await _time_requests(key_limits, key, requests)
        processor = time.process_time() - started
    finally:
        if store is not None:
            await store.close()
    return cost_of(seconds, processor)


def cost_of(seconds: Sequence[float], processor_seconds: float) -> Cost:
    """Return the costs of requests that took some seconds each, and some of a processor in all."""
    centiles = statistics.quantiles(seconds, n=100)
    each = processor_seconds / len(seconds)
    return Cost(statistics.median(seconds) * 1000, centiles[98] * 1000, each * 1000)


async def _time_requests(limits: KeyLimits, key: Key, requests: int) -> list[float]:
    """Return the seconds that limits took of each request."""
    taken = []
    for _ in range(max(2, requests)):
        started = time.perf_counter()
        use = await limits.enter(key)
        await use.reserve(0.01)
        use.settle(0.01)
        await use.leave()
        taken.append(time.perf_counter() - started)
    return taken


if __name__ == "__main__":
    raise SystemExit(main())
