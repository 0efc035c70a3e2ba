"""Headers that keep browsers from doing more with a response than showing it."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.raw_headers import RawHeader, add_headers

_ALWAYS: tuple[RawHeader, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

_UNLESS_SET: tuple[RawHeader, ...] = (
    # Answers are made from what callers sent; no cache on the way may keep them.
    (b"cache-control", b"no-store"),
    # For answers, which load nothing; a page sets a policy of its own.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class SecurityHeadersMiddleware:
    """Middleware that sets these headers on every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_headers(message, _ALWAYS, _UNLESS_SET)
            await send(message)

        await self.app(scope, receive, send_with_headers)
