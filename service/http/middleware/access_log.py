"""One line per request: who asked what, how it ended, how long it took; never what was sent."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGGER = "omnivec2.access"

_LOG = logging.getLogger(LOGGER)

_PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
"""Asked all the time by those who watch; logged for debugging only."""


class AccessLogMiddleware:
    """Logs requests once they are answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        level = logging.DEBUG if scope.get("path") in _PROBES else logging.INFO
        if scope["type"] != "http" or not is_on(level):
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
            # Answered by what stands around all middleware, which hides what it was.
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


def is_on(level: int) -> bool:
    """Whether a line of this level would be written."""
    return _LOG.isEnabledFor(level)


def log(level: int, protocol: str, **fields: Any) -> None:
    """Write a line: words for people, fields for what reads JSON."""
    words = " ".join(f"{k}={v}" for k, v in fields.items() if v != "" and k != "request_id")
    _LOG.log(level, "%s %s", protocol, words, extra={"protocol": protocol, **fields})


def route_of(scope: Scope) -> str:
    """The path with names in the place of what the caller chose; empty if it leads nowhere."""
    path = scope.get("state", {}).get("route") or getattr(scope.get("route"), "path", "")
    return str(path)
