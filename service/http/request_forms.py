"""The three forms of a request: raw bytes, JSON, multipart. All give the same inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue
from pydantic_core import from_json
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from omnivec2.errors import (
    InvalidInputError,
    InvalidParameterError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import Preprocessor
from service.http.body import Body
from service.pipeline.concurrency import in_thread_if_large
from service.pipeline.host_stages import FileInput, JsonInput, RawInput

JSON = "application/json"
MULTIPART = "multipart/form-data"

# Types that do not identify the content: curl sends the last for --data-binary.
_UNSPECIFIC_TYPES = ("", "application/octet-stream", "application/x-www-form-urlencoded")

_JSON_OVERHEAD = 64 * 2**10
"""Room for parameters and punctuation around the inputs of a JSON or multipart body."""


@dataclass(frozen=True)
class PredictRequest:
    """The inputs and parameters of a request.

    Attributes:
        inputs: The inputs in the caller's order.
        parameters: The parameters as sent, not yet checked.
        batched: Whether the caller sent a list and gets a list.
    """

    inputs: list[RawInput]
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    batched: bool = False


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

    async def read(self, headers: Headers, body: Body) -> PredictRequest:
        """Read a request in any of the three forms.

        Raises:
            TooLargeError: The body is over its limit.
            UnsupportedMediaTypeError: The modality does not take the content type.
            InputError: The body is not what its content type says.
        """
        declared = _media_type(headers.get("content-type", ""))
        if declared == MULTIPART:
            return await self._read_multipart(headers, body)
        if declared == JSON:
            data = await body.read(self._json_limit)
            return await in_thread_if_large(len(data), lambda: self._from_json(data))
        if declared not in _UNSPECIFIC_TYPES and declared not in self.preprocessor.media_types:
            raise self._unsupported(declared)
        unspecific = declared in _UNSPECIFIC_TYPES
        limit = self._json_limit if unspecific else self._file_limit
        data = await body.read(limit)
        if unspecific and await in_thread_if_large(
            len(data), lambda: self._looks_like_request(data)
        ):
            return await in_thread_if_large(len(data), lambda: self._from_json(data))
        inputs = await self._files(data, None if unspecific else declared)
        return PredictRequest(inputs, batched=len(inputs) > 1)

    @property
    def _file_limit(self) -> int:
        return min(self.preprocessor.limits.bytes, self.max_body_bytes)

    @property
    def _json_limit(self) -> int:
        """The limit on a JSON body: base64 is a third longer than the bytes it encodes."""
        limits = self.preprocessor.limits
        return min(limits.bytes * 4 // 3 * limits.inputs + _JSON_OVERHEAD, self.max_body_bytes)

    async def _files(self, data: bytes, media_type: str | None) -> list[RawInput]:
        """Return the inputs that a file holds: itself, unless it is a list by nature."""
        file = self._file(data, media_type)
        parts = await in_thread_if_large(
            len(data), lambda: self.preprocessor.split_file(data, media_type)
        )
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

    def _looks_like_request(self, data: bytes) -> bool:
        """Whether bytes of no declared type are the JSON form rather than a file."""
        first = data[:64].lstrip()[:1]
        if first in (b"{", b"["):
            self._check_values(data)
        if first != b"{":
            return False
        try:
            value = self._parse(data)
        except UndecodableError:
            return False
        return isinstance(value, dict) and not value.keys().isdisjoint(("inputs", "table"))

    def _from_json(self, data: bytes) -> PredictRequest:
        value = self._parse(data)
        if isinstance(value, dict) and not value.keys().isdisjoint(("inputs", "table")):
            return self._from_envelope(dict(value), len(data))
        if JSON in self.preprocessor.media_types:
            return self._from_inputs(value, {}, len(data))
        raise InvalidInputError(
            f'expected a JSON object with "inputs" holding {self.preprocessor.accepts} as base64',
            field="inputs",
        )

    def _from_envelope(self, body: dict[str, JsonValue], nbytes: int) -> PredictRequest:
        parameters = body.pop("parameters", None)
        if not isinstance(parameters, dict | None):
            raise InvalidParameterError('"parameters" must be an object', field="parameters")
        if "table" in body and "inputs" in body:
            raise InvalidInputError('expected either "inputs" or "table", got both', field="table")
        table, inputs = body.pop("table", None), body.pop("inputs", None)
        # Hugging Face's feature-extraction task sends its parameters beside the inputs.
        merged = {**body, **(parameters or {})}
        if table is not None:
            return PredictRequest([JsonInput({"table": table}, nbytes)], merged)
        return self._from_inputs(inputs, merged, nbytes)

    def _from_inputs(
        self, value: JsonValue, parameters: Mapping[str, JsonValue], nbytes: int
    ) -> PredictRequest:
        items = self.preprocessor.split(value)
        if items is None:
            return PredictRequest([JsonInput(value, nbytes)], parameters)
        inputs: list[RawInput] = [JsonInput(item, nbytes) for item in items]
        return PredictRequest(inputs, parameters, batched=True)

    async def _read_multipart(self, headers: Headers, body: Body) -> PredictRequest:
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
            if name == "parameters":
                parameters = await self._parameters(part)
            elif name == "file":
                inputs += await self._part(part)
            else:
                raise InvalidInputError(
                    f'unknown form field {name!r}; expected "file" (repeatable), "parameters"',
                    field=name,
                    known=["file", "parameters"],
                )
        if not inputs:
            raise InvalidInputError('the form has no field "file"', field="file")
        return PredictRequest(inputs, parameters, batched=len(inputs) > 1)

    async def _part(self, part: UploadFile | str) -> list[RawInput]:
        if isinstance(part, str):
            # Some tools write null or a list into a field as text: that is no input.
            raise InvalidInputError(
                'expected a file in the field "file" (curl -F file=@NAME), got text', field="file"
            )
        data = await part.read()
        declared = _media_type(part.content_type or "")
        if declared in _UNSPECIFIC_TYPES:
            return await self._files(data, None)
        if declared in self.preprocessor.media_types:
            return await self._files(data, declared)
        # Form tools guess a part's type from the file's name and are often wrong.
        if self.preprocessor.sniff(data) is None:
            raise self._unsupported(declared)
        return await self._files(data, None)

    async def _parameters(self, part: UploadFile | str) -> Mapping[str, JsonValue]:
        data = part.encode() if isinstance(part, str) else await part.read()
        try:
            value = self._parse(data)
        except UndecodableError as error:
            raise InvalidParameterError(f"parameters: {error}", field="parameters") from error
        if not isinstance(value, dict):
            raise InvalidParameterError('"parameters" must be an object', field="parameters")
        return value

    def _parse(self, data: bytes) -> JsonValue:
        return parse_json(data, self.max_json_values)

    def _check_values(self, data: bytes) -> None:
        check_json_values(data, self.max_json_values)

    def _unsupported(self, media_type: str) -> UnsupportedMediaTypeError:
        known = [*self.preprocessor.media_types, JSON, MULTIPART]
        modality = self.preprocessor.modality.value
        return UnsupportedMediaTypeError(
            f"{modality} does not take {media_type[:80]}; it takes {self.preprocessor.accepts} "
            "as they are, in JSON or in a form",
            field="Content-Type",
            known=list(dict.fromkeys(known)),
        )


def form_of(headers: Headers) -> str:
    """Return the form of a request, according to its headers."""
    declared = _media_type(headers.get("content-type", ""))
    return {JSON: "json", MULTIPART: "form"}.get(declared, "file")


def parse_json(data: bytes, max_values: int) -> JsonValue:
    """Parse a JSON document.

    Raises:
        TooLargeError: It holds more than ``max_values`` values.
        UndecodableError: It is not JSON.
    """
    check_json_values(data, max_values)
    try:
        value: JsonValue = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise UndecodableError(f"not valid JSON: {error}", field="body") from error
    return value


def check_json_values(data: bytes, max_values: int) -> None:
    """Refuse JSON of too many values without parsing it.

    Every value but the first follows one of three characters; counting these is far cheaper than
    the objects that the values would become.

    Raises:
        TooLargeError: It holds more than ``max_values`` values.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > max_values:
        raise TooLargeError(f"the JSON body holds more than {max_values:,} values", field="body")


class _InMemoryParser(MultiPartParser):
    """A parser that keeps files in memory: bodies are bounded, and pre-processors take bytes."""

    spool_max_size = 2**40


def _media_type(content_type: str) -> str:
    """Return a content type without its parameters: ``text/csv; charset=utf-8`` -> ``text/csv``."""
    return content_type.partition(";")[0].strip().lower()
