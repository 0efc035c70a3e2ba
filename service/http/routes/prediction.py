"""``POST /predict/{modality}/{task}`` and ``/predict/{modality}?tasks=``: every loaded head."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import Response

from omnivec2.errors import InvalidParameterError
from service.http.body import declared_length
from service.http.forms.json_requests import PredictRequest
from service.http.http_exchange import HttpExchange, answer_headers
from service.http.job_submission import refuse_webhook, submit_job, wants_job
from service.http.request_forms import RequestReader, form_of
from service.http.streams.streamed_answer import respond_as_accepted
from service.pipeline.answers import Answer, RequestNotes
from service.pipeline.data_plane import DataPlane
from service.pipeline.explanations.explainer import EXPLAIN, without_explanations
from service.pipeline.host_stages import Head

if TYPE_CHECKING:
    from service.http.caching.predict_lookup import PredictLookup

_EXPLAINED = "+explain"

TASKS = "tasks"
"""The query parameter that names several tasks."""

_TRUTH = {"true": True, "false": False}

PATH = "/predict/{modality}/{task}"
TASKS_PATH = "/predict/{modality}"

PredictCall = Callable[[PredictRequest, RequestNotes], Coroutine[Any, Any, Answer]]


async def predict(request: Request) -> Response:
    """Answer the inputs in the body with the head of this route."""
    exchange = HttpExchange(request, PATH)
    answer = partial(_answer_by_head, request, exchange)
    return await respond_as_accepted(request, exchange, answer)


async def predict_tasks(request: Request) -> Response:
    """Answer the inputs in the body with several heads of a modality: ``?tasks=a,b``."""
    exchange = HttpExchange(request, TASKS_PATH)
    answer = partial(_answer_by_heads, request, exchange)
    return await respond_as_accepted(request, exchange, answer)


async def _answer_by_head(request: Request, exchange: HttpExchange) -> Response:
    plane = exchange.gateway.dataplane
    head = plane.head(request.path_params["modality"], request.path_params["task"])
    exchange.open_for([head.model])
    _check_query(request, {EXPLAIN})
    explain = _explain_of(request)
    if wants_job(request.scope):
        if explain:
            raise InvalidParameterError(
                "jobs have no explanations: leave out explain, or Prefer: respond-async",
                field=f"query.{EXPLAIN}",
            )
        return await submit_job(request, exchange, [head], is_several=False)

    def call(read: PredictRequest, notes: RequestNotes) -> Coroutine[Any, Any, Answer]:
        parameters = read.parameters if explain is None else _with_explain(read.parameters, explain)
        return plane.predict(head, read.inputs, parameters, batched=read.batched, notes=notes)

    return await _answer(request, exchange, [head], call, explain=bool(explain))


async def _answer_by_heads(request: Request, exchange: HttpExchange) -> Response:
    plane = exchange.gateway.dataplane
    heads = _heads_of(request, plane)
    exchange.open_for([head.model for head in heads])
    _check_query(request, {TASKS})
    if wants_job(request.scope):
        return await submit_job(request, exchange, heads, is_several=True)

    def call(read: PredictRequest, notes: RequestNotes) -> Coroutine[Any, Any, Answer]:
        return plane.predict_tasks(
            heads, read.inputs, read.parameters, batched=read.batched, notes=notes
        )

    return await _answer(request, exchange, heads, call, is_by_task=True)


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
    request: Request,
    exchange: HttpExchange,
    heads: Sequence[Head],
    call: PredictCall,
    *,
    is_by_task: bool = False,
    explain: bool = False,
) -> Response:
    settings = exchange.gateway.settings
    if request.app.state.jobs is not None:
        refuse_webhook(request.scope)
    seconds = exchange.timeout_seconds()
    notes = RequestNotes(strict=exchange.is_strict())
    # The head that takes the least decides how much is read.
    strictest = min(heads, key=lambda head: head.spec.limits.bytes).preprocessor
    reader = RequestReader(strictest, settings.max_body_bytes, settings.max_json_values)
    nbytes = declared_length(request.headers)
    priority = exchange.asked_priority()
    monitor = exchange.gateway.monitor
    observed = None if monitor is None else monitor.begin(heads, is_by_task=is_by_task)
    form = form_of(request.headers)
    # Explanations take many times the work, so that they have a cost model of their own.
    own_form = form + _EXPLAINED if explain else form
    lookup = _lookup_of(request, exchange, heads) if exchange.gateway.response_cache else None
    read = await lookup.read_early(reader.read, priority) if lookup else None
    answer = await lookup.find(read) if lookup and read else None
    if answer is None:
        async with exchange.admitted(own_form, nbytes, seconds, priority) as ticket:
            if lookup and read:
                lookup.hand_over(ticket)
            else:
                read = await reader.read(request.headers, exchange.body(ticket))
                answer = await lookup.find(read) if lookup else None
            if answer is None:
                if not explain and read.parameters.get(EXPLAIN):
                    exchange.estimate_again(form + _EXPLAINED)
                notes.add(read.notes)
                answer = await exchange.answer_unless_disconnected(call(read, notes))
                exchange.record_stages(answer.timings)
                if lookup:
                    lookup.keep(answer)
    if monitor is not None and observed is not None and read is not None:
        is_explained = explain or bool(read.parameters.get(EXPLAIN))
        plain = without_explanations(answer) if is_explained else answer
        monitor.finish(observed, read.inputs, plain)
    return _response(exchange, answer, lookup)


def _lookup_of(request: Request, exchange: HttpExchange, heads: Sequence[Head]) -> PredictLookup:
    # Imported here: without a cache the service does without all of it.
    from service.http.caching.predict_lookup import PredictLookup

    cache = exchange.gateway.response_cache
    assert cache is not None, "answers are kept"
    return PredictLookup(cache, request, exchange, heads, strict=exchange.is_strict())


def _response(exchange: HttpExchange, answer: Answer, lookup: PredictLookup | None) -> Response:
    headers = {
        **answer_headers(answer.models, answer.timings),
        **exchange.notes_headers(answer.notes),
        **exchange.priority_headers(),
        **(lookup.headers if lookup else {}),
    }
    return Response(answer.body, headers=headers, media_type="application/json")


def _explain_of(request: Request) -> bool | None:
    """Return whether ``?explain=`` asks for explanations; None if it is not there.

    Raises:
        InvalidParameterError: It is neither true nor false.
    """
    if not request.scope["query_string"]:
        return None
    given = request.query_params.get(EXPLAIN)
    if given is None:
        return None
    if given not in _TRUTH:
        raise InvalidParameterError(
            f"?{EXPLAIN}=: expected true or false", field=f"query.{EXPLAIN}", known=list(_TRUTH)
        )
    return _TRUTH[given]


def _with_explain(parameters: Mapping[str, JsonValue], explain: bool) -> Mapping[str, JsonValue]:
    """Return the parameters with what the query says of explanations.

    Raises:
        InvalidParameterError: They say otherwise themselves.
    """
    if parameters.get(EXPLAIN, explain) is not explain:
        raise InvalidParameterError(
            f"?{EXPLAIN}={str(explain).lower()}, but the parameters say otherwise",
            field=f"query.{EXPLAIN}",
        )
    rest = {name: value for name, value in parameters.items() if name != EXPLAIN}
    return {**rest, EXPLAIN: True} if explain else rest


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
