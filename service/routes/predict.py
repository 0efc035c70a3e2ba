"""``POST /predict/{modality}/{task}``: one route for every head that is loaded."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from omnivec2.errors import DeadlineExceededError, InvalidParameterError, OmniVecError
from service.body import Body
from service.dataplane import Answer, Timings
from service.errors import CLIENT_CLOSED_REQUEST, problem_of
from service.gateway import Gateway
from service.requests import RequestReader
from service.stages import Head

T = TypeVar("T")

TIMEOUT_HEADER = "X-Request-Timeout"

PATH = "/predict/{modality}/{task}"


async def predict(request: Request) -> Response:
    """Answer the inputs in the body with the head of this route."""
    gateway: Gateway = request.app.state.gateway
    modality, task = request.path_params["modality"], request.path_params["task"]
    started = time.perf_counter()
    labels = ("unknown", "unknown")
    try:
        head = gateway.dataplane.head(modality, task)
        labels = (modality, task)
        response = await _respond(request, gateway, head)
    except OmniVecError as error:
        response = problem_of(request, error)
    gateway.metrics.observe_request(*labels, response.status_code, time.perf_counter() - started)
    return response


async def _respond(request: Request, gateway: Gateway, head: Head) -> Response:
    settings = gateway.settings
    if request.query_params:
        name = next(iter(request.query_params))
        raise InvalidParameterError(
            f"unknown query parameter {name!r}; parameters go into the JSON body or the form",
            field=f"query.{name}",
        )
    seconds = timeout_seconds(request.headers.get(TIMEOUT_HEADER), settings.request_timeout_seconds)
    reader = RequestReader(head.preprocessor, settings.max_body_bytes, settings.max_json_values)
    with gateway.admission.enter() as ticket:
        body = Body(request, ticket, settings.upload_timeout_seconds)
        asked = await reader.read(request.headers, body)
        call = gateway.dataplane.predict(
            head, asked.inputs, asked.parameters, batched=asked.batched
        )
        try:
            async with asyncio.timeout(seconds):
                answer = await unless_disconnected(request, call)
        except TimeoutError as error:
            raise DeadlineExceededError(f"no answer within {seconds:g} s") from error
    if answer is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    gateway.metrics.observe_stages(answer.timings)
    return _response(answer)


def timeout_seconds(header: str | None, most: float) -> float:
    """Seconds an answer may take: what the caller asks for, but at most the setting.

    Raises:
        InvalidParameterError: the header is not a positive number.
    """
    if header is None:
        return most
    try:
        asked = float(header)
    except ValueError:
        asked = math.nan
    if not asked > 0:
        raise InvalidParameterError(
            f"{TIMEOUT_HEADER}: expected a positive number of seconds", field=TIMEOUT_HEADER
        )
    return min(asked, most)


async def unless_disconnected(request: Request, call: Coroutine[Any, Any, T]) -> T | None:
    """The result of a call, or None if the caller hung up before; the call is then cancelled."""
    work = asyncio.create_task(call)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        gone.cancel()
        work.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _response(answer: Answer) -> Response:
    headers = {
        "X-Model": answer.model.name,
        "X-Model-Version": answer.model.version,
        "Server-Timing": server_timing(answer.timings),
    }
    return Response(answer.body, headers=headers, media_type="application/json")


def server_timing(timings: Timings) -> str:
    """The W3C ``Server-Timing`` value of a request's stages, in milliseconds."""
    stages = vars(timings).items()
    return ", ".join(f"{stage};dur={seconds * 1000:.2f}" for stage, seconds in stages)
