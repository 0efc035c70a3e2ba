"""A collector of traces: OTLP over HTTP, on loopback, kept in memory."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest as _EXPORT,
)

SERVER_KIND = 2
CLIENT_KIND = 3

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


@dataclass(frozen=True)
class Span:
    """A span that arrived; ids are hexadecimal, the parent's is empty for a root."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start_ns: int
    end_ns: int
    failed: bool
    attributes: dict[str, Any]


class Collector:
    """What arrived.

    Attributes:
        endpoint: address with its scheme; the path is ``/v1/traces``.
        spans: in the order of their coming.
    """

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        self.spans: list[Span] = []

    def take(self, body: bytes, content_type: str) -> None:
        """Keep the spans of one export; the gateway sends protobuf, Triton JSON."""
        export = _read_json(body) if "json" in content_type else _EXPORT.FromString(body)
        for resource in export.resource_spans:
            service = str(_values(resource.resource.attributes).get("service.name", ""))
            for scope in resource.scope_spans:
                self.spans += [_span(service, span) for span in scope.spans]

    def wait(self, ready: Callable[[list[Span]], bool], seconds: float = 20) -> list[Span]:
        """The spans, once they are as wanted."""
        last = time.monotonic() + seconds
        while not ready(self.spans):
            if time.monotonic() > last:
                seen = [(span.service, span.name, span.trace_id) for span in self.spans]
                raise AssertionError(f"not within {seconds:g} s; arrived: {seen}")
            time.sleep(0.05)
        return list(self.spans)


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Collect traces until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                collector.take(body, self.headers["Content-Type"])
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        collector = Collector(server)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join(10)


def _read_json(body: bytes) -> Any:
    """OTLP's JSON is protobuf's, but for ids, which are hexadecimal instead of base64."""

    def lift(value: Any) -> Any:
        if isinstance(value, list):
            return [lift(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode() if key in _IDS else lift(item)
            for key, item in value.items()
        }

    return ParseDict(lift(json.loads(body)), _EXPORT(), ignore_unknown_fields=True)


def _span(service: str, span: Any) -> Span:
    return Span(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        failed=span.status.code == 2,
        attributes=_values(span.attributes),
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {
        item.key: getattr(item.value, item.value.WhichOneof("value") or "string_value")
        for item in attributes
    }
