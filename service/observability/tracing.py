"""OpenTelemetry traces, off unless the environment names a collector.

No recorder or exporter is imported until then.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.observability.trace_recorder import Recorder

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether traces are to be sent, by OpenTelemetry's own variables."""
    named = any(environment.get(name) for name in _ENDPOINTS)
    disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return named and not disabled and environment.get("OTEL_TRACES_EXPORTER", "otlp") != "none"


def start() -> Recorder | None:
    """Start to record this process's traces; return None if they are off."""
    if not is_wanted(os.environ):
        return None
    from service.observability.trace_recorder import Recorder

    return Recorder()
