"""The metrics of several gateway processes as those of one.

Every process answers at a Unix socket with its own metrics; whichever is scraped reads them all and
merges them. Counts and sizes are summed. A process that ends takes its counts with it: Prometheus
takes the drop for a restart, as it would that of a single process.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from service.observability.live_accuracy import live_accuracy

_LOG = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 2.0
"""The longest wait for one process; without its metrics the others' are still given."""

_MERGED: Mapping[str, Callable[[float, float], float]] = {
    "omnivec2_ready": min,
    "omnivec2_wait_seconds": max,
    "omnivec2_models_refresh_age_seconds": max,
    "omnivec2_model_info": max,
    "omnivec2_canary_share": max,
    "omnivec2_triton_servers_up": min,
    "omnivec2_shared_state_up": min,
    "omnivec2_replicas": max,
    "omnivec2_drift_distance": max,
    "omnivec2_drift_alert_level": max,
    "omnivec2_score_psi": max,
    "omnivec2_score_psi_alert_level": max,
    "omnivec2_jobs_queued": max,
    "omnivec2_jobs_running": max,
    "omnivec2_jobs_oldest_seconds": max,
    "process_start_time_seconds": min,
    "process_max_fds": min,
    "process_virtual_memory_max_bytes": min,
}
"""How the samples of metrics that are no sums are merged."""


class GroupMetrics:
    """The metrics of one process of a group, and the sum over all of them.

    Args:
        directory: The directory of the group's sockets.
        index: The place of this process in the group.
        exposition: A function that returns this process's metrics in Prometheus' text format.

    Attributes:
        registry: A registry that reads and merges the metrics of all processes at every scrape.
    """

    def __init__(self, directory: Path, index: int, exposition: Callable[[], bytes]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_GroupCollector(directory))
        self._path = directory / f"{index}.sock"
        self._exposition = exposition
        self._server: socketserver.BaseServer | None = None

    def start(self) -> None:
        """Answer other processes, in a thread."""
        # Of the process before, which this one replaces.
        self._path.unlink(missing_ok=True)
        exposition = self._exposition

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):  # the reader has given up
                    self.request.sendall(exposition())

        self._server = socketserver.ThreadingUnixStreamServer(str(self._path), Handler)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop answering. Idempotent."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._path.unlink(missing_ok=True)
        self._server = None


class _GroupCollector(Collector):
    """Reads and merges the metrics of all processes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        """Collect the current metrics."""
        return merge(list(_read_all(self._directory)))

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry would collect when it is made."""
        return ()


def merge(expositions: Iterable[str]) -> list[Metric]:
    """Return the metrics of several processes as those of one.

    Args:
        expositions: The metrics of each process in Prometheus' text format.
    """
    families: dict[str, Metric] = {}
    samples: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for text in expositions:
        for family in text_string_to_metric_families(text):
            families.setdefault(family.name, family)
            merged = samples.setdefault(family.name, {})
            combine = _MERGED.get(family.name)
            for sample in family.samples:
                key = sample.name, tuple(sample.labels.items())
                value = sample.value
                if key in merged:
                    value = combine(merged[key], value) if combine else merged[key] + value
                merged[key] = value
    summed = [_family(families[name], merged) for name, merged in samples.items()]
    # The mean of shares is not the share of all.
    share = live_accuracy(summed)
    kept = [family for family in summed if share is None or family.name != share.name]
    return kept if share is None else [*kept, share]


def _family(
    described: Metric, samples: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
) -> Metric:
    family = Metric(described.name, described.documentation, described.type)
    for (name, labels), value in samples.items():
        family.add_sample(name, dict(labels), value)
    return family


def _read_all(directory: Path) -> Iterator[str]:
    """Yield the metrics of every process that answers."""
    for path in sorted(directory.glob("*.sock")):
        try:
            yield _read(path)
        except OSError as error:
            _LOG.warning("the metrics of process %s are missing: %s", path.stem, error)


def _read(path: Path) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT_SECONDS)
        connection.connect(str(path))
        parts = []
        while part := connection.recv(2**16):
            parts.append(part)
    return b"".join(parts).decode()
