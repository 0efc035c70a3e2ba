"""Requests in JSON, and the inputs of a modality in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    InvalidParameterError,
    UndecodableError,
)
from omnivec2.preprocess import Preprocessor
from omnivec2.preprocess.notes import Note, NoteCode, collect_notes, note
from service.http.forms.content_type import JSON, PLAIN
from service.http.forms.form_fields import PARAMETERS, field_name, inputs_of_fields
from service.http.forms.json_bodies import (
    check_json_values,
    is_envelope,
    open_envelope,
    parse_json,
)
from service.pipeline.host_stages import JsonInput, RawInput

_OF_OPENAI = {"input", "model", "parameters", "encoding_format", "dimensions", "user"}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class PredictRequest:
    """The inputs and parameters of a request.

    Attributes:
        inputs: The inputs in the caller's order.
        parameters: The parameters as sent, not yet checked.
        batched: Whether the caller sent a list and gets a list.
        notes: The remarks on the form of the request.
    """

    inputs: list[RawInput]
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    batched: bool = False
    notes: Sequence[Note] = ()


@dataclass(frozen=True)
class JsonRequests:
    """A reader of requests that are JSON, or hold it.

    Attributes:
        preprocessor: The pre-processor of the head, with its JSON forms.
        max_json_values: The ceiling on the values in a JSON body.
    """

    preprocessor: Preprocessor[Any, Any]
    max_json_values: int

    def from_text(self, data: bytes, kind: str) -> PredictRequest | None:
        """Return the request in a body declared as text that is JSON, as fetch() sends it."""
        if not kind.startswith("text/") or first_sign(data) not in (b"{", b"["):
            return None
        self.check_values(data)
        try:
            value = self.parse(data)
        except UndecodableError:
            return None
        if not is_envelope(value) and not (kind == PLAIN and self._is_json_input(value)):
            return None
        note(
            NoteCode.GUESSED,
            f"the body was read as JSON although its Content-Type is {kind}; send {JSON}",
        )
        return self._from_value(value, len(data))

    def _is_json_input(self, value: JsonValue) -> bool:
        """Whether a JSON value is one that the modality takes as an input or a list of them."""
        if JSON not in self.preprocessor.media_types:
            return False
        items = self.preprocessor.split(value)
        try:
            with collect_notes():
                self.preprocessor.decode_json(value if items is None else items[0])
        except (InputError, LookupError):
            return False
        return True

    def from_lines(self, data: bytes) -> PredictRequest:
        """Return the request in JSON Lines: an input per line, or a request without parameters."""
        self.check_values(data.replace(b"\n", b","))
        values = {
            number: self._parse_line(line, number)
            for number, line in enumerate(data.split(b"\n"), 1)
            if line.strip(b" \t\r\x1e")
        }
        inputs: list[JsonValue] = []
        for number, value in values.items():
            if not is_envelope(value):
                inputs.append(value)
                continue
            assert isinstance(value, dict), "an envelope is an object"
            envelope = open_envelope(value)
            if envelope.parameters or envelope.is_table:
                raise InvalidInputError(
                    'expected {"inputs": …} without parameters in each line', field=f"line {number}"
                )
            inputs.append(envelope.inputs)
        return self.from_inputs(inputs, {}, len(data))

    def _parse_line(self, line: bytes, number: int) -> JsonValue:
        try:
            return self.parse(line)
        except UndecodableError as error:
            raise UndecodableError(f"line {number} is {error}", field=f"line {number}") from error

    def from_fields(self, fields: list[tuple[str, str]]) -> PredictRequest:
        """Return the request in the fields of a URL-encoded form."""
        parameters: Mapping[str, JsonValue] = {}
        for name, value in fields:
            if field_name(name) == PARAMETERS:
                parameters = self.parameters(value.encode())
        inputs = inputs_of_fields(fields, self.max_json_values)
        nbytes = sum(len(value) for _, value in fields)
        if len(inputs) == 1:
            return self.from_inputs(inputs[0], parameters, nbytes)
        return PredictRequest([JsonInput(v, nbytes) for v in inputs], parameters, batched=True)

    def from_json(self, data: bytes) -> PredictRequest:
        """Return the request in a JSON document: with inputs, or an input where JSON is a format.

        Raises:
            TooLargeError: It holds too many values.
            UndecodableError: It is not JSON.
            InvalidInputError: It holds no inputs.
        """
        return self._from_value(self.parse(data), len(data))

    def _from_value(self, value: JsonValue, nbytes: int) -> PredictRequest:
        if is_envelope(value):
            return self.from_envelope(value, nbytes)
        if isinstance(value, dict) and "input" in value and value.keys() <= _OF_OPENAI:
            raise InvalidInputError(
                'expected "inputs", got "input"', field="input", known=("inputs", "parameters")
            )
        if JSON in self.preprocessor.media_types:
            return self.from_inputs(value, {}, nbytes)
        raise InvalidInputError(
            f'expected a JSON object with "inputs" holding {self.preprocessor.accepts} as base64',
            field="inputs",
        )

    def from_envelope(self, body: JsonValue, nbytes: int) -> PredictRequest:
        """Return the request in an object of which ``is_envelope`` is true.

        Args:
            body: The object.
            nbytes: The size of its JSON.
        """
        assert isinstance(body, dict), "an envelope is an object"
        envelope = open_envelope(body)
        if envelope.is_table:
            return PredictRequest([JsonInput(envelope.inputs, nbytes)], envelope.parameters)
        return self.from_inputs(envelope.inputs, envelope.parameters, nbytes)

    def from_inputs(
        self, value: JsonValue, parameters: Mapping[str, JsonValue], nbytes: int
    ) -> PredictRequest:
        """Return the request with a value of inputs, one or a list of them.

        Args:
            value: The value.
            parameters: The parameters as sent.
            nbytes: The size of its JSON.
        """
        items = self.preprocessor.split(value)
        if items is None:
            return PredictRequest([JsonInput(value, nbytes)], parameters)
        inputs: list[RawInput] = [JsonInput(item, nbytes) for item in items]
        return PredictRequest(inputs, parameters, batched=True)

    def parameters(self, data: bytes) -> Mapping[str, JsonValue]:
        """Parse the parameters in a field of a form.

        Raises:
            InvalidParameterError: They are no JSON object.
        """
        try:
            value = self.parse(data)
        except UndecodableError as error:
            raise InvalidParameterError(f"parameters: {error}", field="parameters") from error
        if not isinstance(value, dict):
            raise InvalidParameterError('"parameters" must be an object', field="parameters")
        return value

    def parse(self, data: bytes) -> JsonValue:
        """Parse a JSON document; see ``parse_json``."""
        return parse_json(data, self.max_json_values)

    def check_values(self, data: bytes) -> None:
        """Refuse JSON of too many values; see ``check_json_values``."""
        check_json_values(data, self.max_json_values)


def first_sign(data: bytes) -> bytes:
    """Return the first byte that is neither white space nor a byte order mark."""
    return data[:64].removeprefix(_BYTE_ORDER_MARK).lstrip()[:1]
