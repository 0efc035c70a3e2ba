"""The operations of the OpenAPI document that answer clients of other embedding services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omnivec2.spec import Modality
from service.errors import PROBLEM_JSON
from service.http.embeddings.embedding_requests import MAX_INPUTS, OpenAiEmbeddingRequest
from service.http.embeddings.openai_answers import (
    OpenAiEmbeddingList,
    OpenAiModel,
    OpenAiModelList,
)
from service.http.forms.content_type import JSON
from service.http.routes.embeddings import OPENAI_PATH, TEI_PATH
from service.openai_errors import OpenAiError, has_openai_form, openai_status
from service.openapi.schemas import Json, add_schema
from service.pipeline.host_stages import Head

_EXAMPLE = "A quiet film that stays with you."

_PARAMETERS = {
    "normalize": {"type": "boolean", "description": "false leaves vectors at their length"},
    "truncate": {"type": "boolean", "description": "false refuses a text that would be cut"},
    "truncation_direction": {"enum": ["left", "right", "Left", "Right"]},
    "dimensions": {"type": "integer", "minimum": 1},
    "prompt_name": {"type": "null"},
}
"""TEI's parameters, beside the inputs."""


def complete(
    document: Json,
    heads: Mapping[str, Head],
    failures: Json,
    request_headers: Sequence[Json],
    response_headers: Json,
) -> None:
    """Add requests, answers and failures to the operations of embeddings.

    Args:
        document: The document, with the routes that FastAPI found.
        heads: The loaded heads by route.
        failures: The responses to failures, by status.
        request_headers: The headers that a request may carry.
        response_headers: The headers of an answer.
    """
    schemas: Json = document["components"]["schemas"]
    specs = [head.spec for head in heads.values() if head.spec.is_embedding]
    takes_text = any(spec.modality is Modality.TEXT for spec in specs)
    paths = document["paths"]
    openai, tei = paths[OPENAI_PATH]["post"], paths[TEI_PATH]["post"]
    _complete_post(openai, add_schema(schemas, OpenAiEmbeddingRequest), "input", takes_text)
    _complete_post(tei, _tei_request(), "inputs", takes_text)
    answers = {
        OPENAI_PATH: add_schema(schemas, OpenAiEmbeddingList),
        TEI_PATH: {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
    }
    for path, schema in answers.items():
        operation = paths[path]["post"]
        operation.setdefault("parameters", []).extend(request_headers)
        operation["responses"] = {
            "200": {
                "description": "One vector per input, in their order.",
                "headers": response_headers,
                "content": {JSON: {"schema": schema}},
            },
            **failures,
        }
    for path, kind in (("/v1/models", OpenAiModelList), ("/v1/models/{model}", OpenAiModel)):
        answer = paths[path]["get"]["responses"]["200"]
        answer["content"] = {JSON: {"schema": add_schema(schemas, kind)}}


def use_openai_failures(document: Json) -> None:
    """Describe the failures of the routes for OpenAI's clients in the form they have."""
    schema = add_schema(document["components"]["schemas"], OpenAiError)
    for path, operations in document["paths"].items():
        if not has_openai_form(path):
            continue
        for operation in operations.values():
            operation["responses"] = {
                str(int(openai_status(int(status)))): _in_openai_form(response, schema)
                for status, response in operation["responses"].items()
            }


def _complete_post(operation: Json, schema: Json, name: str, takes_text: bool) -> None:
    content: dict[str, Any] = {"schema": schema}
    if takes_text:
        content["example"] = {name: _EXAMPLE}
    operation["requestBody"] = {"required": True, "content": {JSON: content}}


def _tei_request() -> Json:
    inputs = f"a text, a data URL of any modality, or a list of up to {MAX_INPUTS:,} of them"
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {"inputs": {"description": inputs}, **_PARAMETERS},
    }


def _in_openai_form(response: Json, schema: Json) -> Json:
    if PROBLEM_JSON not in response.get("content", {}):
        return response
    return {**response, "content": {JSON: {"schema": schema}}}
