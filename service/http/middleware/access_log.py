"""The access log of HTTP requests."""

from __future__ import annotations

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.probe_paths import PROBE_PATHS
from service.observability.access_logger import is_enabled, log_request


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
            # Nothing ends here: the handler around all middleware answers any error with 500 and
            # logs its trace. This one only has to know what that answer's status will be.
            status = status or 500
            raise
        finally:
            state = scope.get("state", {})
            key = state.get("key")
            log_request(
                level,
                "http",
                method=scope["method"],
                route=route_of(scope),
                model=state.get("model", ""),
                notes=state.get("notes", ""),
                status=status,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
                client=(scope.get("client") or ("",))[0],
                key=key.name if key is not None else "",
                request_id=state.get("request_id", ""),
            )


def route_of(scope: Scope) -> str:
    """Return the path with names in the place of the caller's values; empty if unknown."""
    path = scope.get("state", {}).get("route") or getattr(scope.get("route"), "path", "")
    return str(path)
