"""Embeddings for the clients of other services: OpenAI's ``/v1/…`` and TEI's ``/embed``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter
from pydantic_core import to_json
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from omnivec2.errors import InvalidInputError, UnknownModelError
from service.gateway import Gateway
from service.http.body import Body, declared_length
from service.http.embeddings.choose_head import embedding_heads
from service.http.embeddings.counted_tokens import CountedTokens
from service.http.embeddings.embedding_requests import (
    SEVERAL_VECTORS,
    EmbeddingReader,
    EmbeddingRequest,
)
from service.http.embeddings.openai_answers import OpenAiModel, OpenAiModelList, write_embeddings
from service.http.http_exchange import HttpExchange, answer_headers
from service.pipeline.answers import RequestNotes, ValueAnswer
from service.pipeline.concurrency import in_thread_if_large
from service.pipeline.data_plane import DataPlane
from service.request_context import REQUEST, in_request

if TYPE_CHECKING:
    from service.http.caching.vector_lookup import VectorLookup

OPENAI_PATH = "/v1/embeddings"
TEI_PATH = "/embed"

_BYTES_PER_NUMBER = 20
_FORM = "embeddings"

Read = Callable[[Headers, Body], Coroutine[Any, Any, EmbeddingRequest]]
Write = Callable[[EmbeddingRequest, list[list[float]], int], bytes]

router = APIRouter(tags=["embeddings"])


@router.post(OPENAI_PATH, summary="Embeddings in OpenAI's form", response_model=None)
async def create_embeddings(request: Request) -> Response:
    """Embed texts, or data URLs of any modality, for clients of OpenAI's service."""
    exchange = HttpExchange(request)
    return await exchange.respond(
        partial(_answer, request, exchange, _reader(request).read_openai, _write_openai)
    )


@router.post(TEI_PATH, summary="Embeddings in TEI's form", response_model=None)
@router.post("/", include_in_schema=False, response_model=None)
async def embed(request: Request) -> Response:
    """Embed inputs for clients of text-embeddings-inference, which also ask at ``/``."""
    exchange = HttpExchange(request)
    return await exchange.respond(
        partial(_answer, request, exchange, _reader(request).read_tei, _write_vectors)
    )


@router.get("/v1/models", summary="Embedding models in OpenAI's form", response_model=None)
async def list_models(request: Request) -> OpenAiModelList:
    """Return the models that ``/v1/embeddings`` takes."""
    heads = embedding_heads(_gateway(request).dataplane.served)
    return OpenAiModelList(data=[OpenAiModel(id=head.spec.route) for head in heads])


@router.get(
    "/v1/models/{model:path}", summary="One embedding model in OpenAI's form", response_model=None
)
async def get_model(request: Request, model: str) -> OpenAiModel:
    """Return a model that ``/v1/embeddings`` takes."""
    known = [head.spec.route for head in embedding_heads(_gateway(request).dataplane.served)]
    if model not in known:
        raise UnknownModelError(f"no embedding model {model[:80]!r} is loaded", known=known)
    return OpenAiModel(id=model)


async def _answer(request: Request, exchange: HttpExchange, read: Read, write: Write) -> Response:
    plane = exchange.gateway.dataplane
    heads = embedding_heads(plane.served)
    if not heads:
        raise UnknownModelError("no embedding model is loaded")
    # The model is in the body: until it is read, the request counts as one for the first of them.
    exchange.estimate_by([heads[0].spec])
    seconds = exchange.timeout_seconds()
    notes = RequestNotes(strict=exchange.is_strict())
    nbytes, priority = declared_length(request.headers), exchange.asked_priority()
    lookup = _lookup_of(request, exchange) if exchange.gateway.response_cache else None
    asked = await lookup.read_early(read, priority) if lookup else None
    if lookup and asked:
        exchange.open_for([asked.head.model])
        await lookup.find(asked)
        if lookup.is_complete:
            notes.add(asked.notes)
            return await _respond(exchange, asked, lookup.known(asked, notes), write, lookup)
    async with exchange.admitted(_FORM, nbytes, seconds, priority) as ticket:
        if lookup and asked:
            lookup.hand_over(ticket)
        else:
            asked = await read(request.headers, exchange.body(ticket))
            exchange.open_for([asked.head.model])
            if lookup:
                await lookup.find(asked)
        notes.add(asked.notes)
        call = _embed(plane, asked, notes, lookup)
        answered = await exchange.answer_unless_disconnected(call)
        response = await _respond(exchange, asked, answered, write, lookup)
    exchange.record_stages(answered[0].timings)
    return response


def _lookup_of(request: Request, exchange: HttpExchange) -> VectorLookup:
    # Imported here: without a cache the service does without all of it.
    from service.http.caching.vector_lookup import VectorLookup

    cache = exchange.gateway.response_cache
    assert cache is not None, "answers are kept"
    return VectorLookup(cache, request, exchange)


async def _respond(
    exchange: HttpExchange,
    asked: EmbeddingRequest,
    answered: tuple[ValueAnswer, int],
    write: Write,
    lookup: VectorLookup | None,
) -> Response:
    answer, tokens = answered
    vectors = cast(list[list[float]], answer.value)
    nbytes_out = sum(map(len, vectors)) * _BYTES_PER_NUMBER
    body = await in_thread_if_large(nbytes_out, lambda: write(asked, vectors, tokens))
    headers = {
        **answer_headers(answer.models, answer.timings),
        **exchange.notes_headers(answer.notes),
        **exchange.priority_headers(),
        **(lookup.headers if lookup else {}),
    }
    return Response(body, headers=headers, media_type="application/json")


async def _embed(
    plane: DataPlane, asked: EmbeddingRequest, notes: RequestNotes, lookup: VectorLookup | None
) -> tuple[ValueAnswer, int]:
    """Return the vectors of a request, and the tokens of its inputs."""
    if lookup and (answered := await lookup.compute(plane, asked, notes)):
        return answered
    context = REQUEST.get()
    tokens = CountedTokens(context.work)
    with in_request(replace(context, work=tokens)):
        answer = await plane.predict_value(
            asked.head, asked.inputs, asked.parameters, batched=asked.batched, notes=notes
        )
    vectors = cast(list[list[float]], answer.value)
    if asked.batched and len(vectors) != len(asked.inputs):
        raise InvalidInputError(SEVERAL_VECTORS, field="inputs")
    return answer, tokens.total


def _write_openai(asked: EmbeddingRequest, vectors: list[list[float]], tokens: int) -> bytes:
    return write_embeddings(vectors, asked.head, tokens, asked.encoding)


def _write_vectors(asked: EmbeddingRequest, vectors: list[list[float]], tokens: int) -> bytes:
    return to_json(vectors)


def _reader(request: Request) -> EmbeddingReader:
    gateway, settings = _gateway(request), _gateway(request).settings
    return EmbeddingReader(
        gateway.dataplane.served,
        settings.embedding_model,
        settings.max_body_bytes,
        settings.max_json_values,
    )


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway
