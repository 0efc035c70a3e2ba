"""Record traces and export them: OTLP over HTTP, in batches, in a thread of its own.

Sampling, batches, headers and certificates are set by OpenTelemetry's own variables
(``OTEL_TRACES_SAMPLER``, ``OTEL_BSP_…``, ``OTEL_EXPORTER_OTLP_…``).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from omnivec2 import __version__
from omnivec2.errors import InputError
from service.request_context import REQUEST

_LOG = logging.getLogger(__name__)

SERVICE = "omnivec2-gateway"
"""The service's name unless ``OTEL_SERVICE_NAME`` sets another."""

_CLOSE_SECONDS = 3.0
"""The time to send the last spans; a missing collector must not delay the exit."""
_MESSAGE_SECONDS = 60.0
_MAX_STAGES = 256
"""The most recorded stages of one request; a request with many inputs has hundreds."""

_CONTEXT = TraceContextTextMapPropagator()


class Recorder:
    """Records what FastAPI does not: the stages of a request, calls of Triton, gRPC."""

    def __init__(self) -> None:
        self._messages = _RateLimitedHandler()
        self._messages.attach()
        if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").startswith("grpc"):
            _LOG.warning(
                "traces are sent over HTTP (http/protobuf, usually to port 4318), not gRPC"
            )
        self._exporter = OTLPSpanExporter()
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("omnivec2.service", __version__)

    @property
    def provider(self) -> TracerProvider:
        """The tracer provider, for FastAPI, which makes the server spans of HTTP requests."""
        return self._provider

    def record_stages(self) -> None:
        """Record the stages of the current task's request, as spans below the current span."""
        REQUEST.set(replace(REQUEST.get(), spans=_RequestSpans(self)))

    @contextmanager
    def rpc(self, headers: Mapping[str, str], attributes: Mapping[str, str]) -> Iterator[None]:
        """Record the gRPC call that the block answers, as a server span.

        Args:
            headers: The call's headers, in lower case; their trace context is the parent.
            attributes: The span's attributes, which a sampler may use.
        """
        name = f"{attributes['rpc.service']}/{attributes['rpc.method']}"
        parent = _CONTEXT.extract(headers)
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, dict(attributes))
        with self._within(span):
            self.record_stages()
            yield

    def close(self) -> None:
        """Send the remaining spans, within a time limit; blocks."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        if closing.is_alive():
            _LOG.warning("the last traces could not be sent")
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
            closing.join(1.0)
        self._messages.detach()

    def stage(self, name: str, started: float, seconds: float, model: str) -> None:
        """Record a span that is over; see ``Spans.record_stage``."""
        # Spans have the time of day, stages a clock that never jumps.
        start_ns = time.time_ns() - int((time.perf_counter() - started) * 1e9)
        span = self._tracer.start_span(
            name, start_time=start_ns, attributes=_model_attributes(model)
        )
        span.end(start_ns + int(seconds * 1e9))

    @contextmanager
    def block(
        self, name: str, kind: SpanKind, attributes: Mapping[str, str | int]
    ) -> Iterator[None]:
        """Record the block as a span below the current one, and make it current within."""
        with self._within(self._tracer.start_span(name, kind=kind, attributes=dict(attributes))):
            yield

    @contextmanager
    def _within(self, span: Span) -> Iterator[None]:
        """Make a span the current one, and end it; a failure marks it, without its message."""
        with use_span(span, True, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__qualname__)
                if not isinstance(error, InputError):
                    span.set_status(Status(StatusCode.ERROR))
                raise


class _RequestSpans:
    """The spans of one request; see ``service.request_context.Spans``."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._left = _MAX_STAGES

    def record_stage(self, name: str, started: float, seconds: float, model: str = "") -> None:
        """See ``Spans.record_stage``."""
        if self._left > 0 and get_current_span().is_recording():
            self._left -= 1
            self._recorder.stage(name, started, seconds, model)

    @contextmanager
    def stage(self, name: str, model: str) -> Iterator[None]:
        """See ``Spans.stage``."""
        with self._recorder.block(name, SpanKind.INTERNAL, _model_attributes(model)):
            yield

    @contextmanager
    def call(self, model: str, address: str) -> Iterator[Mapping[str, str]]:
        """Record a call of Triton in OpenTelemetry's conventions for gRPC; see ``Spans.call``."""
        host, _, port = address.rpartition(":")
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": "inference.GRPCInferenceService",
            "rpc.method": "ModelInfer",
            "server.address": host,
            "server.port": int(port),
            **_model_attributes(model),
        }
        name = "inference.GRPCInferenceService/ModelInfer"
        with self._recorder.block(name, SpanKind.CLIENT, attributes):
            headers: dict[str, str] = {}
            _CONTEXT.inject(headers)
            yield headers


class _RateLimitedHandler(logging.Handler):
    """Forwards one of OpenTelemetry's messages a minute: a collector may be down for days."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next = 0.0
        self._logger = logging.getLogger("opentelemetry")
        self._sdk = logging.getLogger("opentelemetry.sdk")

    def attach(self) -> None:
        """Handle the messages in place of the process's own handlers."""
        self._logger.addHandler(self)
        self._logger.propagate = False
        # It warns of every span that it drops, which costs more than the span itself.
        self._sdk.setLevel(logging.ERROR)

    def detach(self) -> None:
        """Restore the default handling."""
        self._logger.removeHandler(self)
        self._logger.propagate = True
        self._sdk.setLevel(logging.NOTSET)

    def emit(self, record: logging.LogRecord) -> None:
        """Log the message as the service's own, unless there was one within the minute."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _MESSAGE_SECONDS
            _LOG.warning("traces: %s", record.getMessage())


def _model_attributes(model: str) -> dict[str, str | int]:
    return {"omnivec2.model": model} if model else {}


def _resource() -> Resource:
    """Return the service's identity; the environment overrides the defaults."""
    given = Resource.create({SERVICE_VERSION: __version__})
    if str(given.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        given = given.merge(Resource({SERVICE_NAME: SERVICE}))
    return given
