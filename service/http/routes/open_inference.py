"""``/v2/…``: the Open Inference Protocol over HTTP, for callers who bring tensors."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from omnivec2 import __version__
from omnivec2.errors import DeadlineExceededError, ModelNotReadyError, OmniVecError
from service.access.access_control import check_heads
from service.errors import CLIENT_CLOSED_REQUEST, problem_of
from service.gateway import Gateway
from service.http.body import Body, declared_length
from service.http.routes.predict import (
    TIMEOUT_HEADER,
    in_context,
    received_bytes,
    server_timing,
    timeout_seconds,
    unless_disconnected,
)
from service.oip import inference
from service.oip.http_wire import HEADER_LENGTH, format_answer, parse_request
from service.oip.tensors import most_values
from service.pipeline.concurrency import in_thread_if_large
from service.runtimes.base import Model

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

_JSON_BYTES_PER_VALUE = 32
"""Room for a number in JSON: seventeen digits, sign, exponent, and what stands around it."""

_OVERHEAD_BYTES = 64 * 2**10

INFER_PATH = "/v2/models/{name}/infer"
"""``service.openapi.document`` documents it."""


@router.get("", summary="Name, version and extensions of the server", response_model=None)
async def server_metadata() -> dict[str, Any]:
    """What a client asks first."""
    return {
        "name": inference.SERVER_NAME,
        "version": __version__,
        "extensions": list(inference.EXTENSIONS),
    }


@router.get("/health/live", summary="The process is alive", response_model=None)
async def live() -> dict[str, bool]:
    """Answers as long as the event loop turns."""
    return {"live": True}


@router.get("/health/ready", summary="Every required model answers", response_model=None)
async def ready(request: Request) -> dict[str, bool]:
    """200 once the required models are loaded, else 503."""
    health = await _gateway(request).health()
    if not health.ready:
        raise ModelNotReadyError(health.detail)
    return {"ready": True}


@router.get("/models/{name}", summary="A model's tensors", response_model=None)
@router.get("/models/{name}/versions/{version}", response_model=None, include_in_schema=False)
async def model_metadata(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """Names, datatypes and shapes of its inputs and outputs."""
    return inference.model_metadata(_model(request, name, version))


@router.get("/models/{name}/ready", summary="A model is loaded", response_model=None)
@router.get("/models/{name}/versions/{version}/ready", response_model=None, include_in_schema=False)
async def model_ready(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """200 if it is loaded in this version, else 404."""
    return {"name": _model(request, name, version).name, "ready": True}


@router.get("/models/{name}/config", summary="A model's configuration", response_model=None)
@router.get(
    "/models/{name}/versions/{version}/config", response_model=None, include_in_schema=False
)
async def model_config(request: Request, name: str, version: str = "") -> dict[str, Any]:
    """The part of Triton's model configuration that clients read."""
    return inference.model_config(_model(request, name, version))


@router.post("/models/{name}/infer", summary="Infer from tensors", response_model=None)
@router.post(
    "/models/{name}/versions/{version}/infer", response_model=None, include_in_schema=False
)
async def infer(request: Request, name: str, version: str = "") -> Response:
    """Run tensors through a model: JSON, or JSON and raw values (Triton's binary extension)."""
    gateway = _gateway(request)
    started = time.perf_counter()
    labels = ("unknown", "unknown")
    try:
        model = inference.find_model(gateway, name, version)
        labels = (model.spec.modality.value, model.spec.task)
        request.scope.setdefault("state", {})["model"] = model.name
        response = await _respond(request, gateway, model, version)
    except OmniVecError as error:
        response = problem_of(request, error)
    gateway.metrics.observe_request(*labels, response.status_code, time.perf_counter() - started)
    gateway.metrics.observe_bytes(*labels, received_bytes(request), len(response.body))
    return response


async def _respond(request: Request, gateway: Gateway, model: Model, version: str) -> Response:
    settings = gateway.settings
    check_heads([model.spec])
    seconds = timeout_seconds(request.headers.get(TIMEOUT_HEADER), settings.request_timeout_seconds)
    limit = most_values(model.spec) * _JSON_BYTES_PER_VALUE + _OVERHEAD_BYTES
    nbytes = declared_length(request.headers)
    with gateway.admission.enter([model.spec], inference.FORM, nbytes, seconds) as ticket:
        body = Body(request, ticket, settings.upload_timeout_seconds)
        data = await body.read(min(limit, settings.max_body_bytes))
        ticket.begin()
        call = _answer(gateway, model.name, version, data, request.headers.get(HEADER_LENGTH))
        try:
            with in_context(request, seconds, ticket):
                async with asyncio.timeout(seconds):
                    response = await unless_disconnected(request, call)
        except TimeoutError as error:
            raise DeadlineExceededError(f"no answer within {seconds:g} s") from error
        if response is None:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        ticket.succeed()
    return response


async def _answer(
    gateway: Gateway, name: str, version: str, data: bytes, header_length: str | None
) -> Response:
    max_values = gateway.settings.max_json_values
    asked = await in_thread_if_large(
        len(data), lambda: parse_request(data, header_length, max_values)
    )
    answer = await inference.infer(gateway, name, version, asked.infer)
    spec = answer.model.spec
    gateway.metrics.observe_stages(spec.modality.value, spec.task, answer.timings)
    body, json_bytes = await in_thread_if_large(answer.nbytes, lambda: format_answer(asked, answer))
    headers = {
        "X-Model": answer.model.name,
        "X-Model-Version": answer.model.version,
        "Server-Timing": server_timing(answer.timings),
    }
    if json_bytes is None:
        return Response(body, headers=headers, media_type="application/json")
    headers[HEADER_LENGTH] = str(json_bytes)
    return Response(body, headers=headers, media_type="application/octet-stream")


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


def _model(request: Request, name: str, version: str) -> Model:
    return inference.find_model(_gateway(request), name, version)
