"""Schemas of the OpenAPI document that several operations refer to."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, TypeAdapter

from omnivec2.preprocess.notes import NoteCode
from omnivec2.spec import HeadSpec

Json = dict[str, Any]

REFERENCE = "#/components/schemas/{model}"


class InputNote(BaseModel):
    """A remark on an input: what was guessed, ignored or cut of it."""

    code: NoteCode
    field: str | None = Field(default=None, description="part of the request that it is about")
    count: int = Field(description="how many times it happened: rows, tokens, samples")
    text: str = Field(description="what was done, and how to avoid it")


class Problem(BaseModel):
    """A failure (RFC 9457)."""

    type: str = Field(description="URI that names the kind of problem")
    title: str
    status: int
    detail: str = Field(description="what is wrong and what was expected")
    instance: str = Field(description="path of the request")
    error: str = Field(description="the same as detail, for Hugging Face clients")
    field: str | None = Field(default=None, description="part of the request that is wrong")
    known: list[str] | None = Field(default=None, description="what would have been accepted")
    notes: list[InputNote] | None = Field(
        default=None, description="notes on an input that a strict request does not allow"
    )


def add_schema(schemas: Json, kind: Any, spec: HeadSpec | None = None) -> Json:
    """Add a type's schema to the components and return a reference to it.

    Types of two families may share a name, so a type that belongs to one head is stored under
    the name of the head's family.
    """
    schema = TypeAdapter(kind).json_schema(ref_template=REFERENCE, mode="serialization")
    schemas.update(schema.pop("$defs", {}))
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return schema
    name = f"{spec.family.value.capitalize()}{kind.__name__}" if spec else kind.__name__
    schemas[name] = schema
    return {"$ref": REFERENCE.format(model=name)}
