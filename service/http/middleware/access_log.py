"""The access log: one line per request with caller, route, status and time; never its content."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGGER = "omnivec2.access"

_LOG = logging.getLogger(LOGGER)

PROBE_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
"""Paths that monitoring polls: neither traced nor logged above debug level."""


class AccessLogMiddleware:
    """Middleware that logs each request once it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        level = logging.DEBUG if scope.get("path") in PROBE_PATHS else logging.INFO
        if scope["type"] != "http" or not is_enabled(level):
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = bytes_in = bytes_out = 0

        async def receive_counted() -> Message:
            nonlocal bytes_in
            message = await receive()
            bytes_in += len(message.get("body", b""))
            return message

        async def send_counted(message: Message) -> None:
            nonlocal status, bytes_out
            if message["type"] == "http.response.start":
                status = message["status"]
            bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive_counted, send_counted)
        except Exception:
            # The handler around all middleware answers it with 500.
            status = status or 500
            raise
        finally:
            state = scope.get("state", {})
            key = state.get("key")
            log(
                level,
                "http",
                method=scope["method"],
                route=route_of(scope),
                model=state.get("model", ""),
                status=status,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
                client=(scope.get("client") or ("",))[0],
                key=key.name if key is not None else "",
                request_id=state.get("request_id", ""),
            )


def is_enabled(level: int) -> bool:
    """Whether a line of this level would be written."""
    return _LOG.isEnabledFor(level)


def log(level: int, protocol: str, **fields: Any) -> None:
    """Write a line: text for people, and fields for JSON logs."""
    text = " ".join(f"{k}={v}" for k, v in fields.items() if v != "" and k != "request_id")
    _LOG.log(level, "%s %s", protocol, text, extra={"protocol": protocol, **fields})


def route_of(scope: Scope) -> str:
    """Return the path with names in the place of the caller's values; empty if unknown."""
    path = scope.get("state", {}).get("route") or getattr(scope.get("route"), "path", "")
    return str(path)
