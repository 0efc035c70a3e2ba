"""Requests for embeddings in the forms of OpenAI and of TEI: both become inputs of one head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from starlette.datastructures import Headers

from omnivec2.errors import InvalidInputError, TooLargeError, UnsupportedMediaTypeError
from omnivec2.preprocess.base import json_type
from omnivec2.preprocess.formats.guards.base64_text import decode_base64_text
from omnivec2.preprocess.notes import Note, NoteCode, collect_notes, note
from omnivec2.spec import Modality
from service.http.body import Body
from service.http.embeddings.choose_head import choose_head
from service.http.embeddings.data_urls import DataUrl, parse_data_url
from service.http.forms.content_type import JSON, PLAIN, UNSPECIFIC, ContentType
from service.http.forms.json_bodies import is_envelope, open_envelope, parse_json
from service.pipeline.concurrency import in_thread_if_large
from service.pipeline.heads.served_heads import ServedHeads
from service.pipeline.host_stages import FileInput, Head, JsonInput, RawInput

MAX_INPUTS = 2048
"""OpenAI's limit on the inputs of one request, which clients know."""

SEVERAL_VECTORS = "an input holds several rows or series, which have a vector each: send it alone"
"""The refusal of a list of inputs whose vectors could not be told apart."""

Encoding = Literal["float", "base64"]


class OpenAiEmbeddingRequest(BaseModel):
    """The body of ``POST /v1/embeddings``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: JsonValue = Field(
        description="a text, a data URL of any modality (data:image/png;base64,…), another JSON "
        f"form of the model's modality, or a list of up to {MAX_INPUTS:,} of them; no token arrays"
    )
    model: str | None = Field(
        default=None,
        description="a task (embedding, retrieval), of which the type of the inputs chooses the "
        "modality, or one model (text/retrieval); default is a setting of the service",
    )
    encoding_format: Encoding | None = Field(
        default=None, description="numbers, or base64 of float32 (little endian); default float"
    )
    dimensions: int | None = Field(
        default=None,
        ge=1,
        description="how many of the first numbers to keep, before the vector is normalised; a "
        "model is fitted for it if its description says so, others compare less well",
    )
    user: str | None = Field(default=None, description="taken and not used")


@dataclass(frozen=True)
class EmbeddingRequest:
    """A request for embeddings.

    Attributes:
        head: The head that answers.
        inputs: The inputs in the caller's order.
        parameters: The parameters of the head's family, not yet checked.
        batched: Whether the caller sent a list.
        encoding: The form of vectors in the answer.
        notes: The remarks on the form of the request.
    """

    head: Head
    inputs: Sequence[RawInput]
    parameters: Mapping[str, JsonValue]
    batched: bool
    encoding: Encoding = "float"
    notes: Sequence[Note] = field(default=())


@dataclass(frozen=True)
class EmbeddingReader:
    """A reader of requests for embeddings.

    Attributes:
        served: The loaded heads.
        default_model: The model of requests that name none; see ``choose_head``.
        max_body_bytes: The ceiling on a body.
        max_json_values: The ceiling on the values in a body.
    """

    served: ServedHeads
    default_model: str
    max_body_bytes: int
    max_json_values: int

    async def read_openai(self, headers: Headers, body: Body) -> EmbeddingRequest:
        """Read a request in OpenAI's form.

        Raises:
            InputError: The body is not such a request; ``field`` says which part.
            UnknownModelError: No embedding model has the name.
        """
        return await self._read(headers, body, self._from_openai)

    async def read_tei(self, headers: Headers, body: Body) -> EmbeddingRequest:
        """Read a request in TEI's form, ``{"inputs": …, "normalize": …}``.

        Raises:
            InputError: The body is not such a request; ``field`` says which part.
        """
        return await self._read(headers, body, self._from_tei)

    async def _read(self, headers: Headers, body: Body, parse: Any) -> EmbeddingRequest:
        declared = ContentType.parse(headers.get("content-type", ""))
        if not declared.is_json and declared.media_type not in UNSPECIFIC | {PLAIN}:
            raise UnsupportedMediaTypeError(
                f"expected {JSON}, got {declared.media_type[:80]}; files go into JSON as data URLs",
                field="Content-Type",
                known=[JSON],
            )
        data = declared.as_utf8(await body.read(self.max_body_bytes))
        with collect_notes() as notes:
            request: EmbeddingRequest = await in_thread_if_large(len(data), lambda: parse(data))
        return replace(request, notes=tuple(notes)) if len(notes) else request

    def _from_openai(self, data: bytes) -> EmbeddingRequest:
        value = parse_json(data, self.max_json_values)
        if isinstance(value, dict) and "inputs" in value and "input" not in value:
            raise InvalidInputError(
                'expected "input", got "inputs"; /embed takes "inputs"', field="inputs"
            )
        try:
            body = OpenAiEmbeddingRequest.model_validate(value)
        except ValidationError as error:
            raise _invalid(error) from error
        parameters: dict[str, JsonValue] = {}
        if body.dimensions is not None:
            parameters["dimensions"] = body.dimensions
        model = body.model or self.default_model
        request = self._of_value(body.input, model, parameters, "input", len(data))
        return replace(request, encoding=body.encoding_format or "float")

    def _from_tei(self, data: bytes) -> EmbeddingRequest:
        value = parse_json(data, self.max_json_values)
        if not is_envelope(value):
            raise InvalidInputError('expected a JSON object with "inputs"', field="inputs")
        assert isinstance(value, dict), "an envelope is an object"
        envelope = open_envelope(value)
        parameters = dict(envelope.parameters)
        if isinstance(side := parameters.get("truncation_direction"), str):
            parameters["truncation_direction"] = side.lower()  # TEI writes Left and Right
        return self._of_value(envelope.inputs, self.default_model, parameters, "inputs", len(data))

    def _of_value(
        self,
        value: JsonValue,
        model: str,
        parameters: Mapping[str, JsonValue],
        name: str,
        nbytes: int,
    ) -> EmbeddingRequest:
        items = value if isinstance(value, list) else [value]
        if not items:
            raise InvalidInputError("expected at least one input, got none", field=name)
        head = choose_head(self.served, model, _media_types(items, name))
        if head.spec.modality is Modality.TEXT:
            _refuse_tokens(items, name)
        parts = head.preprocessor.split(value)
        inputs = [value] if parts is None else parts
        if len(inputs) > MAX_INPUTS:
            raise TooLargeError(
                f"{len(inputs):,} inputs in one request, at most {MAX_INPUTS:,} are taken",
                field=name,
            )
        raw = [
            _raw_input(item, head, f"{name}[{index}]" if parts is not None else name, nbytes)
            for index, item in enumerate(inputs)
        ]
        return EmbeddingRequest(head, raw, parameters, batched=parts is not None)


def _media_types(items: Sequence[JsonValue], name: str) -> Iterator[tuple[str, str]]:
    """Yield the field and the content type of each input; what is no data URL is text."""
    for index, item in enumerate(items):
        url = parse_data_url(item) if isinstance(item, str) else None
        yield f"{name}[{index}]", PLAIN if url is None else url.media_type


def _refuse_tokens(items: Sequence[JsonValue], name: str) -> None:
    """Refuse lists of token ids, which belong to the vocabulary of another model.

    Raises:
        InvalidInputError: The first input is a number or a list of them.
    """
    first = items[0]
    if isinstance(first, list):
        first = first[0] if first else 0
    if isinstance(first, int | float) and not isinstance(first, bool):
        raise InvalidInputError(
            "token arrays are not taken: their ids are of another model's vocabulary; send texts "
            "(LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False))",
            field=name,
        )


def _raw_input(item: JsonValue, head: Head, name: str, nbytes: int) -> RawInput:
    url = parse_data_url(item) if isinstance(item, str) else None
    return JsonInput(item, nbytes) if url is None else _file_of(url, head, name)


def _file_of(url: DataUrl, head: Head, name: str) -> FileInput:
    """Return the file in a data URL.

    Raises:
        InvalidInputError: It is of a type that the head does not take.
    """
    reader, kind = head.preprocessor, url.media_type
    data = decode_base64_text(url.text, reader.limits.bytes, reader.accepts)
    if not data:
        raise InvalidInputError("the data URL is empty", field=name)
    if kind in reader.media_types:
        return FileInput(data, kind)
    if reader.sniff(data) is None:
        raise InvalidInputError(
            f"{head.spec.route} does not take {kind[:80]}; it takes {reader.accepts}",
            field=name,
            known=list(reader.media_types),
        )
    if kind not in UNSPECIFIC:
        note(
            NoteCode.GUESSED,
            f"the data URL declares {kind[:80]}, which is no type of this modality; the file was "
            "read as what its bytes say",
            field=name,
        )
    return FileInput(data)


def _invalid(error: ValidationError) -> InvalidInputError:
    first = error.errors(include_url=False, include_context=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "body"
    if first["type"] == "extra_forbidden":
        known = tuple(OpenAiEmbeddingRequest.model_fields)
        message = f"unknown field {name!r}; known are {', '.join(known)}"
        return InvalidInputError(message, field=name, known=known)
    if first["type"] == "missing":
        return InvalidInputError(f"expected the field {name!r}", field=name)
    got = json_type(first["input"]) if name == "body" else repr(first["input"])[:80]
    return InvalidInputError(f"{name}: {first['msg'].lower()}, got {got}", field=name)
