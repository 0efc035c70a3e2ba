"""The runtime of a gateway, as its settings say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from service.observability.gateway_metrics import Metrics
from service.runtimes.base import Runtime
from service.settings import Settings

RuntimeFactory = Callable[[Settings, Metrics, Runtime | None], Runtime]
"""Makes the runtime of a process, or takes one that was loaded before."""


def make_runtime(settings: Settings, metrics: Metrics, loaded: Runtime | None) -> Runtime:
    """Return the runtime that the settings name, or take one that was loaded before.

    Args:
        settings: The settings of the process.
        metrics: The metrics that it reports to.
        loaded: A runtime that the process was given with its models.
    """
    return RUNTIMES[settings.runtime](settings, metrics, loaded)


def _embedded_runtime(settings: Settings, metrics: Metrics, loaded: Runtime | None) -> Runtime:
    from service.runtimes.embedded.runtime import EmbeddedRuntime

    runtime = loaded if isinstance(loaded, EmbeddedRuntime) else EmbeddedRuntime(settings)
    runtime.observe(metrics.observe_batch, metrics.observe_tokens)
    metrics.watch("queue_rows", "Samples that wait for a worker.", lambda: runtime.waiting_rows)
    metrics.limit("queue_rows", settings.max_queue_rows)
    return runtime


def _triton_runtime(settings: Settings, metrics: Metrics, _: Runtime | None) -> Runtime:
    from service.runtimes.triton.runtime import TritonRuntime

    runtime = TritonRuntime(settings)
    metrics.watch("triton_servers_up", "Triton servers that answer.", lambda: runtime.endpoints_up)
    return runtime


RUNTIMES: Mapping[str, RuntimeFactory] = {
    "embedded": _embedded_runtime,
    "triton": _triton_runtime,
}
