"""``/v2/…``: the Open Inference Protocol over HTTP, for callers that send tensors."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from omnivec2 import __version__
from omnivec2.errors import ModelNotReadyError
from service.gateway import Gateway
from service.http.body import declared_length
from service.http.http_exchange import HttpExchange, answer_headers
from service.oip import inference
from service.oip.http_wire import HEADER_LENGTH, format_answer, parse_request
from service.oip.tensors import max_values
from service.pipeline.answers import RequestNotes
from service.pipeline.concurrency import in_thread_if_large
from service.runtimes.base import Model

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

_JSON_BYTES_PER_VALUE = 32
"""Room for a number in JSON: seventeen digits, sign, exponent, and punctuation."""

_OVERHEAD_BYTES = 64 * 2**10

INFER_PATH = "/v2/models/{name}/infer"
"""The path of the route that ``service.openapi.document`` documents."""


@router.get("", summary="Name, version and extensions of the server", response_model=None)
async def server_metadata() -> dict[str, Any]:
    """Return the server's name, version and extensions of the protocol."""
    return {
        "name": inference.SERVER_NAME,
        "version": __version__,
        "extensions": list(inference.EXTENSIONS),
    }


@router.get("/health/live", summary="The process is alive", response_model=None)
async def live() -> dict[str, bool]:
    """Answer as long as the event loop runs."""
    return {"live": True}


@router.get("/health/ready", summary="Every required model answers", response_model=None)
async def ready(request: Request) -> dict[str, bool]:
    """Answer 200 once the required models are loaded, else 503."""
    health = await _gateway(request).health()
    if not health.ready:
        raise ModelNotReadyError(health.detail)
    return {"ready": True}


@router.get("/models/{name}", summary="A model's tensors", response_model=None)
@router.get("/models/{name}/versions/{version}", response_model=None, include_in_schema=False)
async def model_metadata(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """Return names, datatypes and shapes of the model's inputs and outputs."""
    return inference.model_metadata(_model(request, name, version))


@router.get("/models/{name}/ready", summary="A model is loaded", response_model=None)
@router.get("/models/{name}/versions/{version}/ready", response_model=None, include_in_schema=False)
async def model_ready(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """Answer 200 if the model is loaded in this version, else 404."""
    return {"name": _model(request, name, version).name, "ready": True}


@router.get("/models/{name}/config", summary="A model's configuration", response_model=None)
@router.get(
    "/models/{name}/versions/{version}/config", response_model=None, include_in_schema=False
)
async def model_config(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """Return the part of Triton's model configuration that clients read."""
    return inference.model_config(_model(request, name, version))


@router.post("/models/{name}/infer", summary="Infer from tensors", response_model=None)
@router.post(
    "/models/{name}/versions/{version}/infer", response_model=None, include_in_schema=False
)
async def infer(request: Request, name: str, version: str = "") -> Response:
    """Run tensors through a model: JSON, or JSON and raw values (Triton's binary extension)."""
    exchange = HttpExchange(request)
    return await exchange.respond(partial(_respond, request, exchange, name, version))


async def _respond(request: Request, exchange: HttpExchange, name: str, version: str) -> Response:
    gateway = exchange.gateway
    head = inference.find_head(gateway.dataplane, name, version)
    exchange.open_for([head.model])
    seconds = exchange.timeout_seconds()
    limit = max_values(head.spec) * _JSON_BYTES_PER_VALUE + _OVERHEAD_BYTES
    nbytes = declared_length(request.headers)
    priority = exchange.asked_priority()
    async with exchange.admitted(inference.FORM, nbytes, seconds, priority) as ticket:
        data = await exchange.body(ticket).read(min(limit, gateway.settings.max_body_bytes))
        header_length = request.headers.get(HEADER_LENGTH)
        return await exchange.answer_unless_disconnected(
            _answer(exchange, name, version, data, header_length)
        )


async def _answer(
    exchange: HttpExchange, name: str, version: str, data: bytes, header_length: str | None
) -> Response:
    gateway = exchange.gateway
    max_json_values = gateway.settings.max_json_values
    read = await in_thread_if_large(
        len(data), lambda: parse_request(data, header_length, max_json_values)
    )
    notes = RequestNotes(strict=exchange.is_strict())
    answer = await inference.infer(gateway.dataplane, name, version, read.infer, notes)
    exchange.record_stages(answer.timings)
    body, json_bytes = await in_thread_if_large(answer.nbytes, lambda: format_answer(read, answer))
    headers = {
        **answer_headers([answer.model], answer.timings),
        **exchange.notes_headers(answer.notes),
    }
    if json_bytes is None:
        return Response(body, headers=headers, media_type="application/json")
    headers[HEADER_LENGTH] = str(json_bytes)
    return Response(body, headers=headers, media_type="application/octet-stream")


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


def _model(request: Request, name: str, version: str) -> Model:
    return inference.find_head(_gateway(request).dataplane, name, version).model
