"""The bodies of requests in the OpenAPI document: files, JSON and forms, and the parameters."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, create_model

from service.http.forms.content_type import JSON, MULTIPART
from service.openapi.schemas import Json, add_schema
from service.pipeline.host_stages import Head

_FILE_EXAMPLE = "<the file as base64>"


_TABLE: Json = {
    "type": "object",
    "description": "column -> values, as Hugging Face's tabular clients send it; instead of inputs",
    "additionalProperties": {"type": "array", "items": {}},
}


def request_content(head: Head, schemas: Json) -> Json:
    """Return the content of a head's requests, by content type; JSON first.

    Args:
        head: The head.
        schemas: The schemas of the document, to be added to.
    """
    parameters = parameters_schema(head, schemas)
    accepts = head.preprocessor.accepts
    binary = {"type": "string", "format": "binary"}
    example = head.preprocessor.json_example
    content: Json = {
        media_type: {"schema": {**binary, "description": name}}
        for media_type, name in head.preprocessor.media_types.items()
    }
    properties = {
        "inputs": {"description": f"{accepts}; files as base64; or a list of them"},
        "parameters": parameters,
    }
    required: Json = {"required": ["inputs"]}
    if head.preprocessor.takes_tables:
        properties["table"] = _TABLE
        required = {"oneOf": [required, {"required": ["table"]}]}
    content[JSON] = {
        "schema": {"type": "object", **required, "properties": properties},
        "example": {"inputs": _FILE_EXAMPLE if example is None else example},
    }
    content[MULTIPART] = {
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {
                "file": {"type": "array", "items": binary},
                "parameters": {"type": "string", "contentMediaType": JSON},
            },
        }
    }
    # The JSON form first, so that interactive documentation offers its example.
    return {JSON: content.pop(JSON), **content}


def parameters_schema(head: Head, schemas: Json) -> Json:
    """Return the schema of a head's parameters: its family's, and what is stated of an input."""
    family, source = head.postprocessor.parameters_type, head.preprocessor.source_options_type
    if not source.model_fields:
        return add_schema(schemas, family, head.spec)
    modality = head.spec.modality.value.capitalize()
    name = f"{modality}{head.spec.family.value.capitalize()}Parameters"
    return add_schema(schemas, _with_source_options(name, family, source))


def source_options_schema(head: Head, schemas: Json) -> Json:
    """Return the schemas of what can be stated of an input, by name."""
    kind = head.preprocessor.source_options_type
    if not kind.model_fields:
        return {}
    name = f"{head.spec.modality.value.capitalize()}{kind.__name__}"
    add_schema(schemas, _renamed(name, kind))
    properties: Json = schemas[name]["properties"]
    return properties


@cache
def _with_source_options(
    name: str, family: type[BaseModel], source: type[BaseModel]
) -> type[BaseModel]:
    fields: dict[str, Any] = {
        key: (info.annotation, info) for key, info in source.model_fields.items()
    }
    return create_model(name, __base__=family, **fields)


@cache
def _renamed(name: str, kind: type[BaseModel]) -> type[BaseModel]:
    return create_model(name, __base__=kind)
