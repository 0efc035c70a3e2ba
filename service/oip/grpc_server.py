"""``inference.GRPCInferenceService`` on a port of the gateway.

Methods that are not listed here (the model repository's, shared memory, logging, tracing,
statistics) are answered UNIMPLEMENTED by gRPC itself.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from http import HTTPStatus
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from tritonclient.grpc import model_config_pb2, service_pb2

from omnivec2 import __version__
from omnivec2.errors import ArtifactError, NotedInputError
from service.access.priority import PRIORITY_HEADER
from service.access.strictness import STRICT_HEADER, is_strict
from service.gateway import Gateway
from service.oip import inference
from service.oip.grpc_guard import Guard
from service.oip.grpc_wire import format_answer, parse_request
from service.pipeline.answers import RequestNotes
from service.pipeline.concurrency import in_thread_if_large
from service.pipeline.exchange import Exchange
from service.request_context import REQUEST, TRACEPARENT
from service.runtimes.base import Model
from service.server.addresses import url_host

SERVICE = "inference.GRPCInferenceService"

_LOG = logging.getLogger(__name__)

_CONNECTION_AGE_MS = 5 * 60 * 1000
"""The age at which a connection is closed; clients reconnect, and spread over the gateways."""

_LINGER_SECONDS = 1.0

_ROOM_FOR_HEALTH = 64
"""Calls beside the admitted requests: the guard and not gRPC refuses those over the limit."""


class GrpcServer:
    """A server of the protocol beside the HTTP application, in the same event loop.

    Args:
        gateway: The gateway that answers.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._server: Any = None
        self._stopping: asyncio.Task[None] | None = None
        self.address = ""

    async def start(self) -> None:
        """Start listening on the host and gRPC port of the settings; port 0 means a free one.

        Raises:
            ArtifactError: The port cannot be listened on.
        """
        settings = self._gateway.settings
        self._require_free_port()
        age = settings.upload_timeout_seconds + settings.request_timeout_seconds
        self._server = grpc.aio.server(
            maximum_concurrent_rpcs=settings.max_pending_requests + _ROOM_FOR_HEALTH,
            options=[
                ("grpc.max_receive_message_length", settings.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(settings.processes > 1)),
                ("grpc.max_connection_age_ms", _CONNECTION_AGE_MS),
                ("grpc.max_connection_age_grace_ms", int(age * 1000)),
            ],
        )
        guard = Guard(self._gateway)
        methods = {
            "ServerLive": (self._server_live, service_pb2.ServerLiveRequest),
            "ServerReady": (self._server_ready, service_pb2.ServerReadyRequest),
            "ModelReady": (self._model_ready, service_pb2.ModelReadyRequest),
            "ServerMetadata": (self._server_metadata, service_pb2.ServerMetadataRequest),
            "ModelMetadata": (self._model_metadata, service_pb2.ModelMetadataRequest),
            "ModelConfig": (self._model_config, service_pb2.ModelConfigRequest),
            "ModelInfer": (self._model_infer, service_pb2.ModelInferRequest),
        }
        handlers = {
            name: grpc.stream_unary_rpc_method_handler(
                guard.wrap(name, method, kind),
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name, (method, kind) in methods.items()
        }
        handler = grpc.method_handlers_generic_handler(SERVICE, handlers)
        self._server.add_generic_rpc_handlers((handler,))
        host = url_host(settings.host)
        try:
            port = self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
        except RuntimeError as error:
            raise self._taken() from error
        await self._server.start()
        self.address = f"{host}:{port}"
        self._stopping = asyncio.create_task(self._stop_with_http())
        _LOG.info("gRPC on %s", self.address)

    def _require_free_port(self) -> None:
        """Raise ArtifactError if the port cannot be listened on, before gRPC has threads.

        A process that ends while gRPC still polls may be aborted by it.
        """
        settings = self._gateway.settings
        try:
            (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
                settings.host, settings.grpc_port, type=socket.SOCK_STREAM
            )
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if settings.processes > 1:
                    tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                tried.bind(address)
        except OSError as error:
            raise self._taken() from error

    def _taken(self) -> ArtifactError:
        settings = self._gateway.settings
        return ArtifactError(
            f"cannot listen on {url_host(settings.host)}:{settings.grpc_port} for gRPC; "
            "choose another with --grpc-port"
        )

    async def close(self) -> None:
        """Stop accepting calls, and wait for those that run."""
        if self._stopping is not None and not self._gateway.shutdown.listeners_closed.is_set():
            self._stopping.cancel()
        if self._server is not None:
            await self._server.stop(self._gateway.settings.drain_seconds)

    async def _stop_with_http(self) -> None:
        """Stop as soon as HTTP does, so that both finish what runs in the same time.

        gRPC itself would cancel calls that it is just accepting; so the guard refuses new ones as
        unavailable for a moment before, and clients go elsewhere.
        """
        await self._gateway.shutdown.listeners_closed.wait()
        await asyncio.sleep(_LINGER_SECONDS)
        await self._server.stop(self._gateway.settings.drain_seconds)

    async def _server_live(self, _: Any, __: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    async def _server_ready(self, _: Any, __: Any) -> Any:
        ready = await inference.is_ready(self._gateway)
        return service_pb2.ServerReadyResponse(ready=ready)

    async def _model_ready(self, request: Any, _: Any) -> Any:
        ready = inference.is_model_ready(self._gateway, request.name, request.version)
        return service_pb2.ModelReadyResponse(ready=ready)

    async def _server_metadata(self, _: Any, __: Any) -> Any:
        return service_pb2.ServerMetadataResponse(
            name=inference.SERVER_NAME, version=__version__, extensions=inference.EXTENSIONS
        )

    def _find_model(self, request: Any) -> Model:
        return inference.find_head(self._gateway.dataplane, request.name, request.version).model

    async def _model_metadata(self, request: Any, _: Any) -> Any:
        model = self._find_model(request)
        metadata = inference.model_metadata(model)
        return ParseDict(metadata, service_pb2.ModelMetadataResponse())

    async def _model_config(self, request: Any, _: Any) -> Any:
        model = self._find_model(request)
        config = ParseDict(inference.model_config(model), model_config_pb2.ModelConfig())
        return service_pb2.ModelConfigResponse(config=config)

    async def _model_infer(self, request: Any, context: Any) -> Any:
        if (recorder := self._gateway.recorder) is None:
            return await self._infer_and_account(request, context)
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": SERVICE,
            "rpc.method": "ModelInfer",
            "omnivec2.model": request.model_name,
            "omnivec2.request_id": request.id,
        }
        headers = {key: str(value) for key, value in context.invocation_metadata()}
        with recorder.rpc(headers, attributes):
            return await self._infer_and_account(request, context)

    async def _infer_and_account(self, request: Any, context: Any) -> Any:
        exchange = Exchange(self._gateway.admission, self._gateway.metrics)
        try:
            response = await self._infer(request, context, exchange)
        except BaseException as error:
            if isinstance(error, NotedInputError):
                exchange.record_notes([str(note["code"]) for note in error.notes])
            exchange.fail(error)
            raise
        exchange.account(HTTPStatus.OK, request.ByteSize(), response.ByteSize())
        return response

    async def _infer(self, request: Any, context: Any, exchange: Exchange) -> Any:
        plane = self._gateway.dataplane
        head = inference.find_head(plane, request.model_name, request.model_version)
        exchange.open([head.spec])
        longest = self._gateway.settings.request_timeout_seconds
        seconds_left = context.time_remaining()
        seconds = longest if seconds_left is None else min(longest, seconds_left)
        nbytes = request.ByteSize()
        metadata = dict(context.invocation_metadata())
        priority = metadata.get(PRIORITY_HEADER.lower())
        async with exchange.admitted(inference.FORM, nbytes, seconds, priority) as ticket:
            ticket.hold_bytes(nbytes)
            # No watch for a disconnected client: gRPC itself cancels the task of its call.
            traceparent = str(metadata.get(TRACEPARENT, ""))
            header = metadata.get(STRICT_HEADER.lower())
            by_default = self._gateway.settings.strict_input
            strict = is_strict(header, REQUEST.get().key, by_default=by_default)
            answer = self._answer(request, exchange, RequestNotes(strict=strict))
            return await exchange.answer(answer, traceparent)

    async def _answer(self, request: Any, exchange: Exchange, notes: RequestNotes) -> Any:
        read = await in_thread_if_large(request.ByteSize(), lambda: parse_request(request))
        plane = self._gateway.dataplane
        answer = await inference.infer(
            plane, request.model_name, request.model_version, read, notes
        )
        exchange.record_stages(answer.timings)
        exchange.record_notes([note.code.value for note in answer.notes])
        return await in_thread_if_large(answer.nbytes, lambda: format_answer(read, answer))
