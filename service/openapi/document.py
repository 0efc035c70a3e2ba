"""The OpenAPI document, built from the head specs of the loaded models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from omnivec2 import errors
from omnivec2.explanations import can_explain
from omnivec2.explanations.score_changes import Explanation
from service.access.priority import PRIORITY_HEADER
from service.access.strictness import STRICT_HEADER
from service.errors import PROBLEM_JSON, status_of
from service.http.forms.content_type import JSON
from service.http.http_exchange import CACHE_STATUS_HEADER
from service.http.middleware.require_key import API_KEY_HEADER, is_open
from service.http.notes_header import NOTES_HEADER
from service.http.routes import open_inference
from service.http.streams.accepted_events import EVENT_STREAM
from service.oip.http_wire import HEADER_LENGTH, WireRequest, WireResponse
from service.openapi import embedding_operations, fixed_operations, job_operations
from service.openapi.request_content import request_content, source_options_schema
from service.openapi.schemas import REFERENCE, Json, Problem, add_schema
from service.pipeline.explanations.explainer import EXPLAIN
from service.pipeline.host_stages import Head

OCTETS = "application/octet-stream"

_SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": API_KEY_HEADER},
}

_EVENTS: Json = {
    EVENT_STREAM: {
        "schema": {
            "type": "string",
            "description": "Server-sent events, if `Accept` asks for them: `window` for each "
            "window or series of an input and `token` for each step of a text "
            "(`{task, input, index, count?, answer}`), then `answer` (`{answer, headers}`) or "
            "`error` (a problem document).",
        }
    }
}

_ACCESS = (errors.UnauthenticatedError, errors.ForbiddenError)

_EXPERIMENTAL = "**Experimental:** its figure is within noise of simple models, or worse."

# The failures a caller of /predict or /v2 may see, in the order of their status.
_FAILURES = (
    errors.UnknownModelError,
    errors.TooLargeError,
    errors.UnsupportedMediaTypeError,
    errors.InvalidInputError,
    errors.OverloadedError,
    errors.ModelNotReadyError,
    errors.DeadlineExceededError,
)


def build(
    app: FastAPI, heads: Mapping[str, Head], *, keys: bool = False, jobs: bool = False
) -> Json:
    """Build the document of an application.

    Args:
        app: The application whose routes are documented.
        heads: The loaded heads by route.
        keys: Whether API keys are required.
        jobs: Whether there is a store of jobs.
    """
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas: Json = document.setdefault("components", {}).setdefault("schemas", {})
    add_schema(schemas, Problem)
    fixed_operations.complete(document, heads, _failures)
    embedding_operations.complete(
        document, heads, _failures(), _request_headers_of_kept(), _response_headers_of_kept()
    )
    for route in sorted(heads):
        document["paths"][f"/predict/{route}"] = {"post": _operation(heads[route], schemas)}
    for modality, some in _by_modality(heads).items():
        document["paths"][f"/predict/{modality}"] = {"post": _tasks_operation(some, schemas)}
    infer = document["paths"][open_inference.INFER_PATH]["post"]
    _complete_infer(infer, schemas)
    fixed_operations.add_tensor_example(infer, heads)
    if jobs:
        job_operations.complete(document, schemas)
    if keys:
        _add_access(document)
    embedding_operations.use_openai_failures(document)
    return document


def _add_access(document: Json) -> None:
    """Add the operations that need a key, and the answers to callers without one."""
    document["components"]["securitySchemes"] = _SECURITY
    refusals = _failures(_ACCESS)
    # The quota of a key applies everywhere; the operations of models document 429 already.
    refusals |= _failures((errors.OverloadedError,))
    for path, operations in document["paths"].items():
        if is_open(path):
            continue
        for operation in operations.values():
            operation["security"] = [{name: []} for name in _SECURITY]
            operation["responses"] = {**operation["responses"], **refusals}


def _by_modality(heads: Mapping[str, Head]) -> dict[str, list[Head]]:
    found: dict[str, list[Head]] = {}
    for route in sorted(heads):
        found.setdefault(heads[route].spec.modality.value, []).append(heads[route])
    return found


def _tasks_operation(heads: Sequence[Head], schemas: Json) -> Json:
    """Return the operation that answers several tasks of one modality on the same inputs."""
    modality = heads[0].spec.modality.value
    tasks = [head.spec.task for head in heads]
    query = {
        "name": "tasks",
        "in": "query",
        "required": True,
        "description": "Tasks to answer, separated by commas.",
        "schema": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": tasks}},
        "style": "form",
        "explode": False,
        # One example input fits the heads whose preprocessing is that of the first.
        "example": [h.spec.task for h in heads if h.spec.preprocess == heads[0].spec.preprocess],
    }
    answers = {head.spec.task: _answer_schema(head, schemas) for head in heads}
    content = request_content(heads[0], schemas)
    content[JSON]["schema"]["properties"]["parameters"] = {
        "type": "object",
        "description": "Parameters that every requested task takes; or task -> its parameters.",
        "properties": source_options_schema(heads[0], schemas),
    }
    return {
        "tags": [modality],
        "operationId": f"{modality}_tasks",
        "summary": f"{modality}: several tasks on the same inputs",
        "description": f"An answer per task: {', '.join(tasks)}. Tasks with the same "
        "preprocessing share it, and parts of the network that they have in common run once.",
        "parameters": [query, *_request_headers_of_kept()],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {
                "description": "Task -> one answer, or a list of answers in the order of the "
                "inputs.",
                "headers": _response_headers_of_kept(),
                "content": {
                    JSON: {"schema": {"type": "object", "properties": answers}},
                    **_EVENTS,
                },
            },
            **_failures(),
        },
    }


def _complete_infer(operation: Json, schemas: Json) -> None:
    """Add requests and responses to the Open Inference Protocol's operation."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    raw = f"JSON, then raw tensors; `{HEADER_LENGTH}` says how many bytes are JSON."
    operation["parameters"] += [
        *_request_headers(),
        _header(HEADER_LENGTH, "integer", "Bytes of JSON, if raw tensors follow."),
    ]
    operation["requestBody"] = {
        "required": True,
        "content": {JSON: {"schema": add_schema(schemas, WireRequest)}, OCTETS: binary},
    }
    operation["responses"] = {
        "200": {
            "description": f"The outputs: JSON, or {raw}",
            "headers": _response_headers(),
            "content": {JSON: {"schema": add_schema(schemas, WireResponse)}, OCTETS: binary},
        },
        **_failures(),
    }


def _operation(head: Head, schemas: Json) -> Json:
    spec = head.spec
    return {
        "tags": [spec.modality.value],
        "operationId": spec.name,
        "summary": f"{spec.modality.value}: {spec.task}",
        "description": _description(head),
        "parameters": [*_explain_parameter(head), *_request_headers_of_kept()],
        "requestBody": {"required": True, "content": request_content(head, schemas)},
        "responses": {
            "200": {
                "description": "One answer, or a list of answers in the order of the inputs.",
                "headers": _response_headers_of_kept(),
                "content": {JSON: {"schema": _answer_schema(head, schemas)}, **_EVENTS},
            },
            **_failures(),
        },
    }


def _description(head: Head) -> str:
    """Describe a head: its task, its inputs, its metrics and its data's licences."""
    spec = head.spec
    marked = _EXPERIMENTAL if spec.experimental else ""
    parts = [spec.description, marked, f"Takes {head.preprocessor.accepts}."]
    if sources := head.preprocessor.sources:
        sentences = dict.fromkeys(source.sentence for source in sources.values())
        parts.append("**Expects:** " + ". ".join(sentences) + ".")
    if spec.labels:
        names = ", ".join(spec.labels[:20]) + (", …" if len(spec.labels) > 20 else "")
        parts.append(f"**Labels:** {names}.")
    if spec.targets:
        parts.append("**Targets:** " + ", ".join(f"{t.name} [{t.unit}]" for t in spec.targets))
    parts.extend(
        f"**{m.name}** {m.value:.4g} on {m.dataset} ({m.split}, {m.samples:,} samples)."
        for m in spec.metrics
    )
    if spec.data:
        parts.append("**Data:** " + "; ".join(f"{d.name} ({d.licence})" for d in spec.data))
    media_type = next(iter(head.preprocessor.media_types))
    parts.append(
        f"```sh\ncurl --data-binary @FILE -H 'Content-Type: {media_type}' \\\n"
        f"  http://localhost:8080/predict/{spec.route}\n```"
    )
    return "\n\n".join(part for part in parts if part)


def _answer_schema(head: Head, schemas: Json) -> Json:
    """Return the schema of the answer to one input, or to a list of inputs."""
    kinds = [head.postprocessor.response_schema(head.spec)]
    if (several := head.postprocessor.batch_schema(head.spec)) not in kinds:
        kinds.append(several)
    one, *others = [add_schema(schemas, kind) for kind in kinds]
    answer = {"anyOf": [one, *others]} if others else one
    if not can_explain(head.spec):
        return answer
    return {"anyOf": [one, *others, _explained_schema(answer, schemas)]}


def _explained_schema(answer: Json, schemas: Json) -> Json:
    """Return the schema of an answer with its explanations."""
    explanation = add_schema(schemas, Explanation)
    return {
        "type": "object",
        "description": "with explain",
        "required": ["answer", "explanations"],
        "properties": {
            "answer": answer,
            "explanations": {"type": "array", "items": explanation},
        },
    }


def _explain_parameter(head: Head) -> list[Json]:
    """Return the query parameter that asks for explanations, if the head has them."""
    if not can_explain(head.spec):
        return []
    description = "Say which parts of the input carried the answer; takes much longer."
    schema = {"type": "string", "enum": ["true", "false"]}
    return [{"name": EXPLAIN, "in": "query", "description": description, "schema": schema}]


def _failures(kinds: Sequence[type[errors.OmniVecError]] = _FAILURES) -> Json:
    reference = {"$ref": REFERENCE.format(model=Problem.__name__)}
    return {
        str(int(status_of(kind))): {
            "description": (kind.__doc__ or "").partition("\n")[0],
            "content": {PROBLEM_JSON: {"schema": reference}},
        }
        for kind in kinds
    }


def _request_headers_of_kept() -> list[Json]:
    """Return the headers of requests whose answers may be kept."""
    meaning = "no-cache, no-store or max-age: what may be given again, or kept."
    return [*_request_headers(), _header("Cache-Control", "string", meaning)]


def _response_headers_of_kept() -> Json:
    meaning = "whether the answer was kept (RFC 9211); only where answers are"
    status = {"description": meaning, "schema": {"type": "string"}}
    return {**_response_headers(), CACHE_STATUS_HEADER: status}


def _request_headers() -> list[Json]:
    return [
        _header("X-Request-ID", "string", "Name of this request; echoed in the response."),
        _header("X-Request-Timeout", "number", "Seconds the answer may take.", exclusiveMinimum=0),
        _header(PRIORITY_HEADER, "string", "Class: high, normal or low; keys may cap it."),
        _header(STRICT_HEADER, "boolean", "Answer 422 if there are notes on an input."),
        _header("traceparent", "string", "W3C trace context, passed on to Triton."),
    ]


def _response_headers() -> Json:
    meanings = {
        "X-Request-ID": "name of the request, as sent or made",
        "X-Model": "model that answered; several are separated by commas",
        "X-Model-Version": "version of its files, likewise",
        PRIORITY_HEADER: "class that the request got; only if it asked for one",
        NOTES_HEADER: "what was guessed, ignored or cut of the inputs; only if there is such",
        "Server-Timing": "milliseconds of decode, preprocess, queue, compute, postprocess",
    }
    return {
        name: {"description": meaning, "schema": {"type": "string"}}
        for name, meaning in meanings.items()
    }


def _header(name: str, kind: str, description: str, **limits: float) -> Json:
    schema = {"type": kind, **limits}
    return {"name": name, "in": "header", "description": description, "schema": schema}
