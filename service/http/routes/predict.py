"""``POST /predict/{modality}/{task}`` and ``/predict/{modality}?tasks=``: every loaded head."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from omnivec2.errors import DeadlineExceededError, InvalidParameterError, OmniVecError
from service.access.access_control import check_heads
from service.errors import CLIENT_CLOSED_REQUEST, problem_of
from service.gateway import Gateway
from service.http.body import Body, declared_length
from service.http.request_forms import RequestReader, form_of
from service.pipeline.data_plane import Answer, Timings
from service.pipeline.host_stages import Head
from service.request_context import TRACEPARENT, RequestContext, WorkMeter, in_request, started

T = TypeVar("T")

TIMEOUT_HEADER = "X-Request-Timeout"
TASKS = "tasks"
SEVERAL = "several"
"""Label of the task where a request asked several."""

PATH = "/predict/{modality}/{task}"
TASKS_PATH = "/predict/{modality}"


async def predict(request: Request) -> Response:
    """Answer the inputs in the body with the head of this route."""
    return await _predict(request, _head_of)


async def predict_tasks(request: Request) -> Response:
    """Answer the inputs in the body with several heads of a modality: ``?tasks=a,b``."""
    return await _predict(request, _heads_of)


async def _predict(request: Request, find: Callable[[Request, Gateway], list[Head]]) -> Response:
    gateway: Gateway = request.app.state.gateway
    started = time.perf_counter()
    labels = [("unknown", "unknown")]
    state = request.scope.setdefault("state", {})
    state["route"] = PATH if "task" in request.path_params else TASKS_PATH
    try:
        heads = find(request, gateway)
        labels = [(head.spec.modality.value, head.spec.task) for head in heads]
        state["model"] = ",".join(head.model.name for head in heads)
        response = await _respond(request, gateway, heads)
    except OmniVecError as error:
        response = problem_of(request, error)
    seconds = time.perf_counter() - started
    for modality, task in labels:
        gateway.metrics.observe_request(modality, task, response.status_code, seconds)
    size = received_bytes(request)
    gateway.metrics.observe_bytes(*_one_label(labels), size, len(response.body))
    return response


def _one_label(labels: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Modality and task that a request's bytes and stages count for; several tasks share them."""
    return labels[0] if len(labels) == 1 else (labels[0][0], SEVERAL)


def _head_of(request: Request, gateway: Gateway) -> list[Head]:
    return [gateway.dataplane.head(request.path_params["modality"], request.path_params["task"])]


def _heads_of(request: Request, gateway: Gateway) -> list[Head]:
    """The heads that ``?tasks=`` names, in its order.

    Raises:
        UnknownModelError: the modality or a task is not loaded.
        InvalidParameterError: no task is named, or one twice.
    """
    modality = request.path_params["modality"]
    known = [head.spec.task for head in gateway.dataplane.served.of(modality)]
    tasks = [task.strip() for task in request.query_params.get(TASKS, "").split(",")]
    if "" in tasks or len(set(tasks)) < len(tasks):
        raise InvalidParameterError(
            f"expected ?{TASKS}= with names of tasks, each once and separated by commas",
            field=f"query.{TASKS}",
            known=known,
        )
    return [gateway.dataplane.head(modality, task) for task in tasks]


async def _respond(request: Request, gateway: Gateway, heads: list[Head]) -> Response:
    settings, plane = gateway.settings, gateway.dataplane
    specs = [head.spec for head in heads]
    check_heads(specs)
    several = "task" not in request.path_params
    _check_query(request, {TASKS} if several else set())
    seconds = timeout_seconds(request.headers.get(TIMEOUT_HEADER), settings.request_timeout_seconds)
    # Whoever takes least decides how much is read.
    strictest = min(heads, key=lambda head: head.spec.limits.bytes).preprocessor
    reader = RequestReader(strictest, settings.max_body_bytes, settings.max_json_values)
    form, nbytes = form_of(request.headers), declared_length(request.headers)
    with gateway.admission.enter(specs, form, nbytes, seconds) as ticket:
        body = Body(request, ticket, settings.upload_timeout_seconds)
        asked = await reader.read(request.headers, body)
        ticket.begin()
        call = (
            plane.predict_tasks(heads, asked.inputs, asked.parameters, batched=asked.batched)
            if several
            else plane.predict(heads[0], asked.inputs, asked.parameters, batched=asked.batched)
        )
        try:
            with in_context(request, seconds, ticket):
                async with asyncio.timeout(seconds):
                    answer = await unless_disconnected(request, call)
        except TimeoutError as error:
            raise DeadlineExceededError(f"no answer within {seconds:g} s") from error
        if answer is None:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        ticket.succeed()
    labels = [(model.spec.modality.value, model.spec.task) for model in answer.models]
    gateway.metrics.observe_stages(*_one_label(labels), answer.timings)
    return _response(answer)


def _check_query(request: Request, known: set[str]) -> None:
    """Refuse query parameters that mean nothing here, and known ones given twice."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            raise InvalidParameterError(
                f"unknown query parameter {name!r}; parameters go into the JSON body or the form",
                field=f"query.{name}",
            )
        if names.count(name) > 1:
            raise InvalidParameterError(
                f"expected ?{name}= once, its values separated by commas", field=f"query.{name}"
            )


def in_context(
    request: Request, seconds: float, work: WorkMeter
) -> AbstractContextManager[RequestContext]:
    """Let the time of a request run and its work be measured until the block ends."""
    return in_request(started(request.headers.get(TRACEPARENT, ""), seconds, work))


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


def received_bytes(request: Request) -> int:
    """How much of a request's body was read."""
    return getattr(request.state, "received_bytes", 0)


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
        "X-Model": ",".join(model.name for model in answer.models),
        "X-Model-Version": ",".join(model.version for model in answer.models),
        "Server-Timing": server_timing(answer.timings),
    }
    return Response(answer.body, headers=headers, media_type="application/json")


def server_timing(timings: Timings) -> str:
    """The W3C ``Server-Timing`` value of a request's stages, in milliseconds."""
    stages = vars(timings).items()
    return ", ".join(f"{stage};dur={seconds * 1000:.2f}" for stage, seconds in stages)
