"""The id of a request, given by the caller or made here, in its context and its response."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.raw_headers import header_text, set_header
from service.request_context import REQUEST, request_id_of

_HEADER = b"x-request-id"


class RequestIdMiddleware:
    """Middleware that puts the id into the request context, ``scope["state"]`` and the response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(header_text(scope, _HEADER) or "")
        encoded = request_id.encode()
        scope.setdefault("state", {})["request_id"] = request_id
        # Not reset at the end: the server has a task per request, and logs in it what went wrong.
        REQUEST.set(REQUEST.get().identified(request_id))

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                set_header(message, _HEADER, encoded)
            await send(message)

        await self.app(scope, receive, send_with_id)
