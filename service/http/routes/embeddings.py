"""Embeddings for the clients of other services: OpenAI's ``/v1/…`` and TEI's ``/embed``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, cast

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
from service.http.embeddings.embedding_requests import EmbeddingReader, EmbeddingRequest
from service.http.embeddings.openai_answers import OpenAiModel, OpenAiModelList, write_embeddings
from service.http.http_exchange import HttpExchange, answer_headers
from service.pipeline.answers import RequestNotes, ValueAnswer
from service.pipeline.concurrency import in_thread_if_large
from service.pipeline.data_plane import DataPlane
from service.request_context import REQUEST, in_request

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
    with exchange.admitted(_FORM, declared_length(request.headers), seconds) as ticket:
        asked = await read(request.headers, exchange.body(ticket))
        exchange.open_for([asked.head.model])
        notes.add(asked.notes)
        answer, tokens = await exchange.answer_unless_disconnected(_embed(plane, asked, notes))
        vectors = cast(list[list[float]], answer.value)
        nbytes = sum(map(len, vectors)) * _BYTES_PER_NUMBER
        body = await in_thread_if_large(nbytes, lambda: write(asked, vectors, tokens))
    exchange.record_stages(answer.timings)
    headers = {
        **answer_headers(answer.models, answer.timings),
        **exchange.notes_headers(answer.notes),
    }
    return Response(body, headers=headers, media_type="application/json")


async def _embed(
    plane: DataPlane, asked: EmbeddingRequest, notes: RequestNotes
) -> tuple[ValueAnswer, int]:
    """Return the vectors of a request, and the tokens of its inputs."""
    context = REQUEST.get()
    tokens = CountedTokens(context.work)
    with in_request(replace(context, work=tokens)):
        answer = await plane.predict_value(
            asked.head, asked.inputs, asked.parameters, batched=asked.batched, notes=notes
        )
    vectors = cast(list[list[float]], answer.value)
    if asked.batched and len(vectors) != len(asked.inputs):
        raise InvalidInputError(
            "an input holds several rows or series, which have a vector each: send it alone",
            field="inputs",
        )
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
