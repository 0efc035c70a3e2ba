"""The cache of answers of a gateway, as its settings say; imported only where it is switched on."""

from __future__ import annotations

from service.observability.gateway_metrics import Metrics
from service.response_cache.response_cache import ResponseCache
from service.settings import Settings


def make_response_cache(settings: Settings, metrics: Metrics) -> ResponseCache:
    """Return the cache, and add what it holds to the metrics."""
    max_bytes = settings.response_cache_mib * 2**20
    cache = ResponseCache(
        max_bytes,
        across_keys=settings.response_cache_across_keys,
        most_early_reads=settings.max_pending_requests,
        observe=metrics.observe_cache_lookup,
    )
    metrics.watch("response_cache_bytes", "Bytes of kept answers.", lambda: cache.nbytes)
    metrics.limit("response_cache_bytes", max_bytes)
    return cache
