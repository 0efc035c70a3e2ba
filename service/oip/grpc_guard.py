"""What stands around every gRPC call: the key, the size of the message, failures, a log line."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from omnivec2.errors import ModelNotReadyError, OmniVecError, UndecodableError
from service.errors import OUR_FAULT, grpc_code_of
from service.gateway import Gateway
from service.http.middleware import access_log
from service.pipeline.concurrency import in_thread_if_large
from service.request_context import REQUEST, request_id_of

Handler = Callable[[Any, Any], Awaitable[Any]]

_LOG = logging.getLogger(__name__)

_OPEN = frozenset({"ServerLive", "ServerReady"})
"""Is the process alive: answered to everybody, and never for want of room."""

_INFER = "ModelInfer"


class Guard:
    """Wraps the methods of a service.

    Args:
        gateway: whose keys and room are asked for.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def wrap(self, name: str, method: Handler, kind: Any) -> Handler:
        """A handler of raw messages.

        Args:
            name: of the method.
            method: takes a message and gRPC's context, and gives a message.
            kind: of the message that it takes.
        """

        async def call(data: bytes, context: Any) -> Any:
            metadata = {k: str(v) for k, v in context.invocation_metadata() if _is_text(k)}
            request_id = request_id_of(metadata.get("x-request-id", ""))
            REQUEST.set(replace(REQUEST.get(), request_id=request_id))
            with self._logged(name, context, len(data)) as outcome:
                try:
                    with self._allowed(name, metadata):
                        message = await in_thread_if_large(len(data), lambda: _decode(data, kind))
                        response = await method(message, context)
                    outcome.update(status="OK", bytes_out=response.ByteSize())
                    return response
                except OmniVecError as error:
                    code = grpc.StatusCode[grpc_code_of(type(error))]
                    detail = OUR_FAULT if code is grpc.StatusCode.INTERNAL else str(error)
                except Exception:
                    # The outermost place of ours: whatever a defect raises, gRPC would show it
                    # to the caller.
                    _LOG.exception("a gRPC call failed")
                    code, detail = grpc.StatusCode.INTERNAL, OUR_FAULT
                outcome["status"] = code.name
            await context.abort(code, detail)

        return call

    @contextmanager
    def _allowed(self, name: str, metadata: Mapping[str, str]) -> Iterator[None]:
        """Make the caller's key the current one, and count the call among its own."""
        if self._gateway.stopping.listens_no_more.is_set() and name not in _OPEN:
            raise ModelNotReadyError("the service is stopping")
        access = self._gateway.access
        if access is None or name in _OPEN:
            self._check_room(name)
            yield
            return
        key = access.authenticate(metadata.get("authorization", ""), metadata.get("x-api-key", ""))
        # A call is a task of its own, which nobody else's key can get into.
        REQUEST.set(replace(REQUEST.get(), key=key))
        with access.counted(key):
            self._check_room(name)
            yield

    def _check_room(self, name: str) -> None:
        """Before the message is decoded; how much work it is can only be told from it."""
        if name == _INFER:
            self._gateway.admission.check_requests()

    @contextmanager
    def _logged(self, name: str, context: Any, bytes_in: int) -> Iterator[dict[str, Any]]:
        """Log the call as HTTP requests are; what it came to is put into the yielded mapping."""
        outcome: dict[str, Any] = {"status": "CANCELLED", "bytes_out": 0}
        started = time.perf_counter()
        try:
            yield outcome
        finally:
            level = logging.DEBUG if name in _OPEN else logging.INFO
            if self._gateway.settings.access_log and access_log.is_on(level):
                key = REQUEST.get().key
                access_log.log(
                    level,
                    "grpc",
                    method=name,
                    status=outcome["status"],
                    bytes_in=bytes_in,
                    bytes_out=outcome["bytes_out"],
                    duration_ms=round((time.perf_counter() - started) * 1000, 2),
                    client=context.peer(),
                    key=key.name if key is not None else "",
                    request_id=REQUEST.get().request_id,
                )


def _is_text(name: str) -> bool:
    """Whether a value is text: names of bytes end otherwise in gRPC."""
    return not name.endswith("-bin")


def _decode(data: bytes, kind: Any) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        message = f"the bytes are no {kind.DESCRIPTOR.name}"
        raise UndecodableError(message, field="body") from error
