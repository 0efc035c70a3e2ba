"""Access control of a gateway, as its settings say."""

from __future__ import annotations

from service.access.access_control import AccessControl
from service.access.key_limits import KeyLimits
from service.access.key_usage import KeyUsage
from service.access.shared_limits import SharedLimits
from service.observability.gateway_metrics import Metrics
from service.settings import Settings
from service.shared_state.shared_store import SharedStore


def make_access(
    settings: Settings, metrics: Metrics, store: SharedStore | None
) -> AccessControl | None:
    """Return access control, with limits that hold over a shared store; None without keys.

    Raises:
        ArtifactError: The file of keys cannot be used.
    """
    if settings.api_keys_file is None:
        return None
    limits = KeyLimits(
        KeyUsage(metrics.keys, store),
        SharedLimits(store) if store is not None else None,
        metrics.observe_local_decision,
    )
    return AccessControl(settings.api_keys_file, limits)
