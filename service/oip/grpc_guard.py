"""The wrapper of every gRPC method: authentication, decoding, failures, and the access log."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from omnivec2.errors import ModelNotReadyError, OmniVecError, UndecodableError
from service.errors import OUR_FAULT, grpc_code_of
from service.gateway import Gateway
from service.observability.access_logger import is_enabled, log_request
from service.oip.grpc_messages import MessageReader
from service.pipeline.concurrency import in_thread_if_large
from service.request_context import REQUEST, request_id_of

Handler = Callable[[Any, Any], Awaitable[Any]]

_LOG = logging.getLogger(__name__)

_OPEN = frozenset({"ServerLive", "ServerReady"})
"""Health checks: answered without a key, and also at the limit of requests."""

_INFER = "ModelInfer"


class Guard:
    """A wrapper of the methods of a gRPC service.

    Args:
        gateway: The gateway whose API keys and admission control apply.
    """

    def __init__(self, gateway: Gateway) -> None:
        settings = gateway.settings
        self._gateway = gateway
        places = max(1, settings.max_pending_bytes // settings.max_body_bytes)
        self._messages = MessageReader(places, settings.upload_timeout_seconds)

    def wrap(self, name: str, method: Handler, kind: Any) -> Handler:
        """Return a handler of undecoded messages, which are read once the caller is known.

        It is one of a stream of messages, though the methods take one: gRPC reads the whole message
        of another before it calls anything.

        Args:
            name: The name of the method.
            method: The method; takes a message and gRPC's context, and returns a message.
            kind: The class of the message that it takes.
        """

        async def call(messages: AsyncIterator[bytes], context: Any) -> Any:
            metadata = {k: str(v) for k, v in context.invocation_metadata() if _is_text(k)}
            request_id = request_id_of(metadata.get("x-request-id", ""))
            REQUEST.set(replace(REQUEST.get(), request_id=request_id))
            with self._logged(name, context) as outcome:
                try:
                    async with self._authenticated(name, metadata, outcome):
                        data = await self._messages.read(messages)
                        outcome["bytes_in"] = len(data)
                        message = await in_thread_if_large(len(data), lambda: _decode(data, kind))
                        response = await method(message, context)
                        outcome["bytes_out"] = response.ByteSize()
                    outcome["status"] = "OK"
                    return response
                except OmniVecError as error:
                    code = grpc.StatusCode[grpc_code_of(type(error))]
                    detail = OUR_FAULT if code is grpc.StatusCode.INTERNAL else str(error)
                except Exception:
                    # Whatever a defect raises beyond this point, gRPC would show to the caller.
                    _LOG.exception("a gRPC call failed")
                    code, detail = grpc.StatusCode.INTERNAL, OUR_FAULT
                outcome["status"] = code.name
            await context.abort(code, detail)

        return call

    @asynccontextmanager
    async def _authenticated(
        self, name: str, metadata: Mapping[str, str], outcome: Mapping[str, Any]
    ) -> AsyncIterator[None]:
        """Authenticate the caller, and count the call and its bytes among those of its key."""
        if self._gateway.shutdown.listeners_closed.is_set() and name not in _OPEN:
            raise ModelNotReadyError("the service is stopping")
        access = self._gateway.access
        if access is None or name in _OPEN:
            self._check_room(name)
            yield
            return
        key = access.authenticate(metadata.get("authorization", ""), metadata.get("x-api-key", ""))
        # Not reset at the end: the call is a task of its own, and its log line names the key.
        REQUEST.set(replace(REQUEST.get(), key=key))
        use = await access.limits.enter(key)
        REQUEST.set(replace(REQUEST.get(), budget=use))
        try:
            self._check_room(name)
            yield
        finally:
            use.record_bytes(outcome["bytes_in"], outcome["bytes_out"])
            await use.leave()

    def _check_room(self, name: str) -> None:
        """Refuse the call if there are too many, before its message is read."""
        if name == _INFER:
            self._gateway.admission.check_requests()

    @contextmanager
    def _logged(self, name: str, context: Any) -> Iterator[dict[str, Any]]:
        """Log the call as HTTP requests are, with the outcome put into the yielded mapping."""
        outcome: dict[str, Any] = {"status": "CANCELLED", "bytes_in": 0, "bytes_out": 0}
        started = time.perf_counter()
        try:
            yield outcome
        finally:
            level = logging.DEBUG if name in _OPEN else logging.INFO
            if self._gateway.settings.access_log and is_enabled(level):
                key = REQUEST.get().key
                log_request(
                    level,
                    "grpc",
                    method=name,
                    status=outcome["status"],
                    bytes_in=outcome["bytes_in"],
                    bytes_out=outcome["bytes_out"],
                    duration_ms=round((time.perf_counter() - started) * 1000, 2),
                    client=context.peer(),
                    key=key.name if key is not None else "",
                    request_id=REQUEST.get().request_id,
                )


def _is_text(name: str) -> bool:
    """Whether a value is text: in gRPC, names of binary values end in ``-bin``."""
    return not name.endswith("-bin")


def _decode(data: bytes, kind: Any) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        message = f"the bytes are no {kind.DESCRIPTOR.name}"
        raise UndecodableError(message, field="body") from error
