"""Attributes of this service on the server span that FastAPI makes of a request."""

from __future__ import annotations

from opentelemetry.trace import Span, get_current_span
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observability.trace_recorder import Recorder

# Header of the response -> attribute of the span.
_ATTRIBUTES = {
    "x-request-id": "omnivec2.request_id",
    "x-model": "omnivec2.model",
    "x-model-version": "omnivec2.model.version",
}


class TracingMiddleware:
    """Middleware that names the model and records the stages of requests; only if traces are on.

    Args:
        app: The application that it wraps.
        recorder: The recorder of the stages.
    """

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self.app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        span = get_current_span()

        async def send_and_describe(message: Message) -> None:
            if message["type"] == "http.response.start" and span.is_recording():
                _describe(span, scope, message)
            await send(message)

        self._recorder.record_stages()
        await self.app(scope, receive, send_and_describe)


def _describe(span: Span, scope: Scope, message: Message) -> None:
    """Set the attributes of a span from the path and the start of the response."""
    for name, value in scope.get("path_params", {}).items():
        if name in ("modality", "task"):
            span.set_attribute(f"omnivec2.{name}", value)
    headers = Headers(raw=message["headers"])
    for header, attribute in _ATTRIBUTES.items():
        if value := headers.get(header):
            span.set_attribute(attribute, value)
