"""The monitor of a gateway, as its settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omnivec2.errors import ArtifactError
from service.observability.gateway_metrics import Metrics
from service.runtimes.base import GroupMember
from service.settings import Settings
from service.shared_state.shared_store import SharedStore

if TYPE_CHECKING:
    from service.monitoring.feedback.feedback_desk import FeedbackDesk
    from service.monitoring.monitor import Monitor
    from service.monitoring.monitoring_metrics import MonitoringMetrics


def make_monitor(
    settings: Settings, metrics: Metrics, store: SharedStore | None, group: GroupMember | None
) -> Monitor | None:
    """Return the monitor, with its metrics; None if nothing is to be watched.

    Args:
        settings: The settings of the gateway.
        metrics: Its metrics.
        store: The store that gateways share; None if there is none.
        group: The process's place among several; None if it is the only one.

    Raises:
        ArtifactError: The destination of the payload log, or its redaction, cannot be used.
    """
    if not settings.payload_log and not settings.feedback_answers and not settings.drift_share:
        _check_unused(settings)
        return None
    # What is off is not imported.
    from service.monitoring.drift.drift_monitor import DriftMonitor
    from service.monitoring.monitor import Monitor
    from service.monitoring.monitoring_metrics import MonitoringMetrics
    from service.monitoring.payloads.event_log import EventLog

    own = MonitoringMetrics(metrics)
    log = desk = drift = None
    if settings.payload_log:
        log = EventLog(settings, own.events(), "" if group is None else str(group.place))
    if settings.feedback_answers:
        desk = _make_desk(settings, own, store, group)
    if settings.drift_share:
        drift = DriftMonitor(settings.drift_window)
        own.drift(drift.readings)
    return Monitor(settings, log, desk, drift, own.skipped())


def _make_desk(
    settings: Settings,
    metrics: MonitoringMetrics,
    store: SharedStore | None,
    group: GroupMember | None,
) -> FeedbackDesk:
    from service.monitoring.feedback.feedback_desk import FeedbackDesk
    from service.monitoring.feedback.group_answers import GroupAnswers
    from service.monitoring.feedback.own_answers import OwnAnswers
    from service.monitoring.feedback.shared_answers import SharedAnswers

    most, seconds = settings.feedback_answers, settings.feedback_seconds
    memory = OwnAnswers(most, seconds)
    siblings = None if group is None else GroupAnswers(group.directory, group.place, memory)
    shared = None if store is None else SharedAnswers(store, most, seconds)
    return FeedbackDesk(memory, seconds, metrics.feedback(), siblings, shared)


def _check_unused(settings: Settings) -> None:
    """Refuse settings of a payload log that is off: whoever sets them expects one.

    Raises:
        ArtifactError: There are some.
    """
    if settings.payload_log_hook or settings.payload_log_redact or settings.payload_log_inputs:
        raise ArtifactError(
            "OMNIVEC2_PAYLOAD_LOG_... are set without OMNIVEC2_PAYLOAD_LOG: expected a file or an "
            "http:// or https:// address"
        )
