"""Authentication: where API keys are required, requests without a valid one are refused."""

from __future__ import annotations

from dataclasses import replace

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from omnivec2.errors import OmniVecError
from service.access.access_control import AccessControl
from service.errors import problem_of
from service.http.probe_paths import HEALTH_PATHS
from service.request_context import REQUEST, in_request

API_KEY_HEADER = "X-API-Key"

_OPEN = HEALTH_PATHS | {"/", "/docs"}
"""Paths that need no key: health checks, and pages without data of their own."""

_OPEN_UNDER = ("/try/", "/static-offline-docs/", "/docs/")


class ApiKeyMiddleware:
    """Middleware that checks the keys of requests and their limits, before bodies are read.

    It puts the key into the request context, and into ``scope["state"]["key"]`` for the access log.
    """

    def __init__(self, app: ASGIApp, access: AccessControl) -> None:
        self.app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or is_open(scope["path"], scope["method"]):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            key = self._access.authenticate(
                headers.get("authorization", ""), headers.get(API_KEY_HEADER, "")
            )
            scope.setdefault("state", {})["key"] = key
            use = await self._access.limits.enter(key)
        except OmniVecError as error:
            await problem_of(Request(scope), error)(scope, receive, send)
            return
        received = sent = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def send_counted(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
                if not message.get("more_body", False):
                    await use.leave()
            await send(message)

        try:
            with in_request(replace(REQUEST.get(), key=key, budget=use)):
                await self.app(scope, receive_counted, send_counted)
        finally:
            use.record_bytes(received, sent)
            await use.leave()


def is_open(path: str, method: str = "GET") -> bool:
    """Whether a path is answered without a key; what is posted never is."""
    return method != "POST" and (path in _OPEN or path.startswith(_OPEN_UNDER))
