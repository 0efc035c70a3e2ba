"""The forms of a request: a file, JSON, fields of a form. All give the same inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from omnivec2.errors import (
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import Preprocessor
from omnivec2.preprocess.formats.guards.base64_text import refuse_address
from omnivec2.preprocess.notes import NoteCode, collect_notes, note
from service.http.body import BodySource
from service.http.forms.content_type import (
    JSON,
    JSON_LINES,
    MULTIPART,
    PLAIN,
    UNSPECIFIC,
    URLENCODED,
    ContentType,
)
from service.http.forms.conversion_hints import conversion_hint, names_other_content
from service.http.forms.form_fields import (
    FILE_FIELDS,
    PARAMETERS,
    field_name,
    urlencoded_fields,
    value_of_field,
)
from service.http.forms.json_bodies import is_envelope
from service.http.forms.json_requests import JsonRequests, PredictRequest, first_sign
from service.pipeline.concurrency import in_thread_if_large
from service.pipeline.host_stages import FileInput, JsonInput, RawInput

_JSON_OVERHEAD = 64 * 2**10
"""Room for parameters and punctuation around the inputs of a JSON or multipart body."""


@dataclass(frozen=True)
class RequestReader:
    """A reader of requests to one head.

    Attributes:
        preprocessor: The pre-processor of the head, with its content types, limits and JSON forms.
        max_body_bytes: The ceiling on a body, whatever the head allows.
        max_json_values: The ceiling on the values in a JSON body.
    """

    preprocessor: Preprocessor[Any, Any]
    max_body_bytes: int
    max_json_values: int

    async def read(self, headers: Headers, body: BodySource) -> PredictRequest:
        """Read a request in any of the forms.

        Raises:
            TooLargeError: The body is over its limit.
            UnsupportedMediaTypeError: The modality does not take the content type.
            InputError: The body is not what its content type says.
        """
        with collect_notes() as notes:
            request = await self._read(headers, body)
        return replace(request, notes=tuple(notes)) if len(notes) else request

    def read_file(self, data: bytes, media_type: str | None) -> PredictRequest:
        """Read a file that was not sent in a request, as one in a form is read.

        Args:
            data: The content.
            media_type: The content type that its name suggests; None to detect it.

        Raises:
            InputError: The file is empty, too large, or of a type the modality does not take.
        """
        with collect_notes() as notes:
            inputs = self._from_part(data, ContentType.parse(media_type or ""))
        return PredictRequest(inputs, batched=len(inputs) > 1, notes=tuple(notes))

    async def _read(self, headers: Headers, body: BodySource) -> PredictRequest:
        declared = ContentType.parse(headers.get("content-type", ""))
        kind = declared.media_type
        if kind == MULTIPART:
            return await self._read_multipart(headers, body)
        is_format = kind in self.preprocessor.media_types
        if not is_format and names_other_content(kind):
            raise self._unsupported(kind)
        # What may be a whole request is read as far as one may be.
        of_request = declared.is_json or not is_format or kind == PLAIN
        data = await body.read(self._json_limit if of_request else self._file_limit)
        return await in_thread_if_large(len(data), lambda: self._from_body(data, declared))

    def _from_body(self, data: bytes, declared: ContentType) -> PredictRequest:
        kind = declared.media_type
        data = declared.as_utf8(data)
        if declared.is_json and (kind == JSON or kind not in self.preprocessor.media_types):
            return self._json.from_json(data)
        if kind in self.preprocessor.media_types:
            return self._json.from_text(data, kind) or self._from_file(data, kind)
        if kind in JSON_LINES:
            return self._json.from_lines(data)
        if kind == URLENCODED and (fields := urlencoded_fields(data)) is not None:
            return self._json.from_fields(fields)
        if kind in UNSPECIFIC:
            return self._from_unspecific(data)
        if request := self._json.from_text(data, kind):
            return request
        # Programs guess a type from a file's name; what the file is shows in its bytes.
        if self.preprocessor.sniff(data) is None:
            raise self._unsupported(kind)
        note(
            NoteCode.GUESSED,
            f"Content-Type is {kind[:80]}, which is no type of this modality; the file was read as "
            "what its bytes say",
        )
        return self._from_file(data, None)

    @property
    def _json(self) -> JsonRequests:
        return JsonRequests(self.preprocessor, self.max_json_values)

    @property
    def _file_limit(self) -> int:
        return min(self.preprocessor.limits.bytes, self.max_body_bytes)

    @property
    def _json_limit(self) -> int:
        """The limit on a JSON body: base64 is a third longer than the bytes it encodes."""
        limits = self.preprocessor.limits
        return min(limits.bytes * 4 // 3 * limits.inputs + _JSON_OVERHEAD, self.max_body_bytes)

    def _from_file(self, data: bytes, media_type: str | None) -> PredictRequest:
        inputs = self._files(data, media_type)
        return PredictRequest(inputs, batched=len(inputs) > 1)

    def _files(self, data: bytes, media_type: str | None) -> list[RawInput]:
        """Return the inputs that a file holds: itself, unless it is a list by nature."""
        file = self._file(data, media_type)
        parts = self.preprocessor.split_file(data, media_type)
        return [FileInput(part, media_type) for part in parts] if parts else [file]

    def _file(self, data: bytes, media_type: str | None) -> FileInput:
        if not data:
            raise InvalidInputError(
                f"the body is empty; expected {self.preprocessor.accepts}", field="inputs"
            )
        if len(data) > self._file_limit:
            raise TooLargeError(
                f"the input is larger than {self._file_limit:,} bytes", field="inputs"
            )
        return FileInput(data, media_type)

    def _from_unspecific(self, data: bytes) -> PredictRequest:
        """Return the request in a body of no declared type: JSON of a request, or a file."""
        first = first_sign(data)
        if first in (b"{", b"["):
            self._json.check_values(data)
            try:
                value = self._json.parse(data)
            except UndecodableError:
                return self._from_file(data, None)
            if is_envelope(value):
                return self._json.from_envelope(value, len(data))
            if first == b"[" and JSON in self.preprocessor.media_types:
                return self._json.from_inputs(value, {}, len(data))
        return self._from_file(data, None)

    async def _read_multipart(self, headers: Headers, body: BodySource) -> PredictRequest:
        limits = self.preprocessor.limits
        limit = min(limits.bytes * limits.inputs + _JSON_OVERHEAD, self.max_body_bytes)
        parser = _InMemoryParser(
            headers,
            body.chunks(limit),
            max_files=limits.inputs,
            max_fields=limits.inputs + 1,
            max_part_size=self._file_limit,
        )
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise UndecodableError(
                f"not a valid {MULTIPART} body: {error.message}", field="body"
            ) from error
        try:
            return await self._from_form(form)
        finally:
            await form.close()

    async def _from_form(self, form: FormData) -> PredictRequest:
        inputs: list[RawInput] = []
        parameters: Mapping[str, JsonValue] = {}
        for name, part in form.multi_items():
            if name == PARAMETERS:
                data = part.encode() if isinstance(part, str) else await part.read()
                parameters = self._json.parameters(data)
            elif field_name(name) == "inputs" and isinstance(part, str):
                inputs.append(JsonInput(value_of_field(part, self.max_json_values), len(part)))
            elif field_name(name) in FILE_FIELDS:
                inputs += await self._part(part)
            else:
                raise InvalidInputError(
                    f'unknown form field {name!r}; expected "file" (repeatable), "parameters"',
                    field=name,
                    known=["file", "parameters"],
                )
        if not inputs:
            raise InvalidInputError('the form has no field "file"', field="file")
        first = inputs[0]
        if len(inputs) == 1 and isinstance(first, JsonInput):
            return self._json.from_inputs(first.value, parameters, first.nbytes)
        return PredictRequest(inputs, parameters, batched=len(inputs) > 1)

    async def _part(self, part: UploadFile | str) -> list[RawInput]:
        if isinstance(part, str):
            refuse_address(part, self.preprocessor.accepts)
            # Some tools write null or a list into a field as text: that is no input.
            raise InvalidInputError(
                'expected a file in the field "file" (curl -F file=@NAME), got text', field="file"
            )
        data = await part.read()
        declared = ContentType.parse(part.content_type or "")
        return await in_thread_if_large(len(data), lambda: self._from_part(data, declared))

    def _from_part(self, data: bytes, declared: ContentType) -> list[RawInput]:
        data, kind = declared.as_utf8(data), declared.media_type
        if kind in UNSPECIFIC:
            return self._files(data, None)
        if kind in self.preprocessor.media_types:
            return self._files(data, kind)
        # Form tools guess a part's type from the file's name and are often wrong.
        if self.preprocessor.sniff(data) is None:
            raise self._unsupported(kind)
        return self._files(data, None)

    def _unsupported(self, media_type: str) -> UnsupportedMediaTypeError:
        known = [*self.preprocessor.media_types, JSON, MULTIPART]
        modality = self.preprocessor.modality.value
        hint = conversion_hint(media_type, self.preprocessor.media_types.values())
        return UnsupportedMediaTypeError(
            f"{modality} does not take {media_type[:80]}; it takes {self.preprocessor.accepts} "
            "as they are, in JSON or in a form" + (f"; {hint}" if hint else ""),
            field="Content-Type",
            known=list(dict.fromkeys(known)),
        )


def form_of(headers: Headers) -> str:
    """Return the form of a request, according to its headers."""
    declared = ContentType.parse(headers.get("content-type", "")).media_type
    return {JSON: "json", MULTIPART: "form"}.get(declared, "file")


class _InMemoryParser(MultiPartParser):
    """A parser that keeps files in memory: bodies are bounded, and pre-processors take bytes."""

    spool_max_size = 2**40
