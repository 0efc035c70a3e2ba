"""Admission control of a gateway, as its settings say."""

from __future__ import annotations

from service.admission.admission_control import AdmissionControl
from service.observability.gateway_metrics import Metrics
from service.settings import Settings


def make_admission(settings: Settings, metrics: Metrics) -> AdmissionControl:
    """Return admission control, and add what it holds to the metrics."""
    admission = AdmissionControl(
        settings.max_pending_requests,
        settings.max_pending_bytes,
        max_queue_seconds=settings.max_queue_seconds,
        workers=settings.inference_workers,
    )
    watch = metrics.watch
    watch("pending_requests", "Requests being worked on.", lambda: admission.requests)
    watch(
        "slow_bodies",
        "Requests whose bodies arrive slowly; not among the pending ones.",
        lambda: admission.arriving.apart,
    )
    watch("pending_bytes", "Bytes of request bodies held.", lambda: admission.bytes)
    watch(
        "wait_seconds",
        "Expected wait of a request that arrives now.",
        lambda: admission.wait_seconds,
    )
    metrics.limit("pending_requests", settings.max_pending_requests)
    metrics.limit("pending_bytes", settings.max_pending_bytes)
    return admission
