"""The paths that monitoring polls."""

from __future__ import annotations

HEALTH_PATHS = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""Health checks: answered without a key, and also while the process stops."""

PROBE_PATHS = HEALTH_PATHS | {"/metrics"}
"""Paths that are neither traced nor logged above debug level."""
