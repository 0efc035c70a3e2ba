"""Connections of clients: who may make them, what they may send, and how they end."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from service.setting_groups.base import Names, SettingGroup


class ConnectionSettings(SettingGroup):
    """Connections of clients: who may make them, what they may send, and how they end."""

    allowed_hosts: Names = ()
    """Names that requests may be addressed to in ``Host`` (``api.example,*.internal.example``); \
``*`` allows any. By default any, but only ``localhost``, names without a dot and addresses while \
the service listens on a loopback address and needs no key."""

    cors_origins: Names = ()
    """Origins whose pages may call from a browser (``https://a.example,https://b.example``)."""

    max_header_bytes: Annotated[int, Field(ge=1024)] = 32 * 2**10
    """Longest head of a request: its first line and its headers."""

    header_timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Time in which the head of a request must arrive."""

    keep_alive_seconds: Annotated[int, Field(ge=1)] = 75
    """Time until an idle connection is closed; longer than that of a load balancer in front."""

    drain_delay_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Time after a stop signal in which only ``/readyz`` changes, to 503, so that load balancers \
notice."""

    drain_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Time in which requests under way may finish once the service has stopped listening."""
