"""``POST /predict/{modality}/{task}`` and ``/predict/{modality}?tasks=``: every loaded head."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from omnivec2.errors import InvalidParameterError
from service.http.body import declared_length
from service.http.forms.json_requests import PredictRequest
from service.http.http_exchange import HttpExchange, answer_headers
from service.http.request_forms import RequestReader, form_of
from service.pipeline.answers import Answer, RequestNotes
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import Head

TASKS = "tasks"
"""The query parameter that names several tasks."""

PATH = "/predict/{modality}/{task}"
TASKS_PATH = "/predict/{modality}"

PredictCall = Callable[[PredictRequest, RequestNotes], Coroutine[Any, Any, Answer]]


async def predict(request: Request) -> Response:
    """Answer the inputs in the body with the head of this route."""
    exchange = HttpExchange(request, PATH)
    return await exchange.respond(partial(_answer_by_head, request, exchange))


async def predict_tasks(request: Request) -> Response:
    """Answer the inputs in the body with several heads of a modality: ``?tasks=a,b``."""
    exchange = HttpExchange(request, TASKS_PATH)
    return await exchange.respond(partial(_answer_by_heads, request, exchange))


async def _answer_by_head(request: Request, exchange: HttpExchange) -> Response:
    plane = exchange.gateway.dataplane
    head = plane.head(request.path_params["modality"], request.path_params["task"])
    exchange.open_for([head.model])
    _check_query(request, set())

    def call(read: PredictRequest, notes: RequestNotes) -> Coroutine[Any, Any, Answer]:
        return plane.predict(head, read.inputs, read.parameters, batched=read.batched, notes=notes)

    return await _answer(request, exchange, [head], call)


async def _answer_by_heads(request: Request, exchange: HttpExchange) -> Response:
    plane = exchange.gateway.dataplane
    heads = _heads_of(request, plane)
    exchange.open_for([head.model for head in heads])
    _check_query(request, {TASKS})

    def call(read: PredictRequest, notes: RequestNotes) -> Coroutine[Any, Any, Answer]:
        return plane.predict_tasks(
            heads, read.inputs, read.parameters, batched=read.batched, notes=notes
        )

    return await _answer(request, exchange, heads, call)


def _heads_of(request: Request, plane: DataPlane) -> list[Head]:
    """Return the heads that ``?tasks=`` names, in its order.

    Raises:
        UnknownModelError: The modality or a task is not loaded.
        InvalidParameterError: No task is named, or one twice.
    """
    modality = request.path_params["modality"]
    known = [head.spec.task for head in plane.served.of_modality(modality)]
    tasks = [task.strip() for task in request.query_params.get(TASKS, "").split(",")]
    if "" in tasks or len(set(tasks)) < len(tasks):
        raise InvalidParameterError(
            f"expected ?{TASKS}= with names of tasks, each once and separated by commas",
            field=f"query.{TASKS}",
            known=known,
        )
    return [plane.head(modality, task) for task in tasks]


async def _answer(
    request: Request, exchange: HttpExchange, heads: Sequence[Head], call: PredictCall
) -> Response:
    settings = exchange.gateway.settings
    seconds = exchange.timeout_seconds()
    notes = RequestNotes(strict=exchange.is_strict())
    # The head that takes the least decides how much is read.
    strictest = min(heads, key=lambda head: head.spec.limits.bytes).preprocessor
    reader = RequestReader(strictest, settings.max_body_bytes, settings.max_json_values)
    nbytes = declared_length(request.headers)
    with exchange.admitted(form_of(request.headers), nbytes, seconds) as ticket:
        read = await reader.read(request.headers, exchange.body(ticket))
        notes.add(read.notes)
        answer = await exchange.answer_unless_disconnected(call(read, notes))
    exchange.record_stages(answer.timings)
    headers = {
        **answer_headers(answer.models, answer.timings),
        **exchange.notes_headers(answer.notes),
    }
    return Response(answer.body, headers=headers, media_type="application/json")


def _check_query(request: Request, known: set[str]) -> None:
    """Refuse query parameters that are unknown here, and known ones given twice."""
    if not request.scope["query_string"]:
        return
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
