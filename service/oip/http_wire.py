"""The protocol over HTTP: JSON, and JSON followed by raw tensors (Triton's binary extension)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from omnivec2.errors import InvalidInputError
from service.http.forms.json_bodies import parse_json
from service.oip.inference import NOTES, InferRequest, notes_text
from service.oip.tensors import DATATYPES, Tensor, check_parameters, to_bytes
from service.pipeline.answers import TensorAnswer

HEADER_LENGTH = "Inference-Header-Content-Length"


class _Wire(BaseModel):
    # Unknown fields are ignored, as Triton does; the protocol grows.
    model_config = ConfigDict(strict=True)


class WireTensor(_Wire):
    """A tensor: its values in ``data``, or the number of their bytes after the JSON."""

    name: str
    datatype: str = Field(description="BOOL, UINT8, INT8, INT16, UINT16, INT32, INT64, FP16, FP32")
    shape: list[int] = Field(description="rows, then the shape the model's metadata has")
    data: list[Any] | None = Field(default=None, description="values, flat or nested")
    parameters: dict[str, Any] = Field(default={}, description="binary_data_size")


class WireOutput(_Wire):
    """An output that is wanted."""

    name: str
    parameters: dict[str, Any] = Field(default={}, description="binary_data")


class WireRequest(_Wire):
    """The body of ``POST /v2/models/{name}/infer``."""

    id: str = ""
    inputs: list[WireTensor]
    outputs: list[WireOutput] = Field(
        default=[], description="the outputs that are wanted; all unless given"
    )
    parameters: dict[str, Any] = Field(default={}, description="binary_data_output")


class WireResponse(_Wire):
    """An answer; a raw output has no ``data`` but the parameter ``binary_data_size``."""

    id: str | None = None
    model_name: str
    model_version: str
    parameters: dict[str, Any] = Field(default={}, description="notes on the inputs: a JSON text")
    outputs: list[WireTensor]


@dataclass(frozen=True)
class HttpRequest:
    """A request, and which of its outputs are to be raw.

    Attributes:
        infer: The request.
        binary: A mapping of output names to whether their values come raw after the JSON.
        binary_default: Whether outputs that are not named come raw.
    """

    infer: InferRequest
    binary: Mapping[str, bool]
    binary_default: bool


def parse_request(body: bytes, header_length: str | None, max_values: int) -> HttpRequest:
    """Read a body.

    Args:
        body: The JSON, perhaps followed by raw tensors.
        header_length: The number of bytes of JSON, if raw tensors follow.
        max_values: The most values in the JSON.

    Raises:
        TooLargeError: There are too many values.
        InputError: The body is not what the protocol says.
    """
    stop = _json_length(header_length, len(body))
    value = parse_json(body[:stop], max_values)
    try:
        wire = WireRequest.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:80] or "body"
        raise InvalidInputError(f"{where}: {first['msg']}", field=where) from error
    default = _flag(wire.parameters, "binary_data_output", "parameters") or False
    binary = {}
    for output in wire.outputs:
        flag = _flag(output.parameters, "binary_data", "outputs")
        binary[output.name] = default if flag is None else flag
        check_parameters(output.parameters, "outputs")
    names = tuple(output.name for output in wire.outputs)
    inputs = _tensors(wire, memoryview(body)[stop:])
    return HttpRequest(InferRequest(inputs, names, wire.id, len(body)), binary, default)


def format_answer(request: HttpRequest, answer: TensorAnswer) -> tuple[bytes, int | None]:
    """Return the body of a response, and the bytes of JSON in it if raw tensors follow."""
    outputs: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for name, array in answer.outputs.items():
        output: dict[str, Any] = {
            "name": name,
            "datatype": DATATYPES[array.dtype.name],
            "shape": list(array.shape),
        }
        if request.binary.get(name, request.binary_default):
            raw.append(to_bytes(array))
            output["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            output["data"] = array.ravel().tolist()
        outputs.append(output)
    fields: dict[str, Any] = {"id": request.infer.id} if request.infer.id else {}
    fields |= {"model_name": answer.model.head_name, "model_version": answer.model.version}
    if answer.notes:
        fields["parameters"] = {NOTES: notes_text(answer.notes)}
    json = to_json({**fields, "outputs": outputs})
    return b"".join([json, *raw]), len(json) if raw else None


def _json_length(header: str | None, size: int) -> int:
    if header is None:
        return size
    # More digits than the size has cannot be a part of it.
    if header.isascii() and header.isdigit() and len(header) <= len(str(size)):
        length = int(header)
        if length <= size:
            return length
    raise InvalidInputError(
        f"{HEADER_LENGTH}: expected a number of bytes up to the body's {size:,}",
        field=HEADER_LENGTH,
    )


def _tensors(wire: WireRequest, raw: memoryview) -> list[Tensor]:
    """Return the inputs with their values; raw ones follow the JSON in the order of the inputs."""
    tensors = []
    start = 0
    for index, tensor in enumerate(wire.inputs):
        where = f"inputs[{index}]"
        check_parameters(tensor.parameters, where)
        size = tensor.parameters.get("binary_data_size")
        if (size is None) == (tensor.data is None):
            message = f'{where}: expected either "data" or the parameter "binary_data_size"'
            raise InvalidInputError(message, field=where)
        data: list[Any] | memoryview
        if tensor.data is not None:
            data = tensor.data
        elif isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= len(raw) - start:
            data = raw[start : start + size]
            start += size
        else:
            raise InvalidInputError(
                f"{where}: binary_data_size: expected a number of bytes up to the "
                f"{len(raw) - start:,} that are left of the body",
                field=where,
            )
        tensors.append(Tensor(tensor.name, tensor.datatype, tuple(tensor.shape), data))
    if start != len(raw):
        message = f"{len(raw) - start:,} bytes of the body belong to no input"
        raise InvalidInputError(message, field="body")
    return tensors


def _flag(parameters: Mapping[str, Any], name: str, where: str) -> bool | None:
    value = parameters.get(name)
    if not isinstance(value, bool | None):
        raise InvalidInputError(f"{where}: {name} must be true or false", field=where)
    return value
