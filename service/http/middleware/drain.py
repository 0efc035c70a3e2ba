"""Draining: while the process stops, connections are closed, and at the end requests refused."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from omnivec2.errors import ModelNotReadyError
from service.errors import problem_of
from service.http.probe_paths import HEALTH_PATHS
from service.http.raw_headers import set_header
from service.server.shutdown import ShutdownState


class DrainMiddleware:
    """Middleware that sends callers to another process as soon as this one begins to stop."""

    def __init__(self, app: ASGIApp, shutdown: ShutdownState) -> None:
        self.app = app
        self._shutdown = shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_last(message: Message) -> None:
            # Checked when the answer goes out: the request may have come before the signal.
            if message["type"] == "http.response.start" and self._shutdown.draining:
                set_header(message, b"connection", b"close")
            await send(message)

        if self._shutdown.rejecting and scope["path"] not in HEALTH_PATHS:
            response = problem_of(Request(scope), ModelNotReadyError("the service is stopping"))
            response.headers["Retry-After"] = "1"
            await response(scope, receive, send_last)
            return
        await self.app(scope, receive, send_last)
