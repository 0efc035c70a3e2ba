"""The store of a gateway, as its settings say."""

from __future__ import annotations

from service.observability.gateway_metrics import Metrics
from service.settings import Settings
from service.shared_state.shared_store import SharedStore


def make_shared_state(settings: Settings, metrics: Metrics) -> SharedStore | None:
    """Return the store that gateways share, and add its metrics; None without one.

    Raises:
        ArtifactError: Its address is not one of a store.
    """
    url = settings.shared_state_url
    # A file of variables may leave it empty.
    if url is None or not url.get_secret_value().strip():
        return None
    store = SharedStore(
        url.get_secret_value(),
        timeout_seconds=settings.shared_state_timeout_seconds,
        # Processes on one port are replicas, and start together.
        least_replicas=settings.processes,
        on_call=metrics.watch_shared_state(
            is_up=lambda: store.is_up, replicas=lambda: store.replicas
        ),
    )
    return store
