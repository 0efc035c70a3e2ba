"""The protocol over gRPC: conversion of protobuf messages to and from tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tritonclient.grpc import service_pb2

from omnivec2.errors import InvalidInputError
from service.oip.inference import NOTES, InferRequest, notes_text
from service.oip.tensors import DATATYPES, Tensor, check_parameters, to_bytes
from service.pipeline.answers import TensorAnswer

_CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
}
"""Datatype -> the field of typed contents with its values; FP16 has none."""


def parse_request(message: Any) -> InferRequest:
    """Read a ``ModelInferRequest``; contents are raw for all inputs or typed for all.

    Raises:
        InvalidInputError: The message is not what the protocol says.
    """
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise InvalidInputError(
            f"raw_input_contents: expected {len(message.inputs)}, one per input, got {len(raw)}",
            field="raw_input_contents",
        )
    tensors = []
    for index, tensor in enumerate(message.inputs):
        where = f"inputs[{index}]"
        check_parameters(tensor.parameters, where)
        if raw and tensor.HasField("contents"):
            message_text = f"{where}: expected raw or typed contents, got both"
            raise InvalidInputError(message_text, field=where)
        data = raw[index] if raw else _typed_values(tensor, where)
        tensors.append(Tensor(tensor.name, tensor.datatype, tuple(tensor.shape), data))
    for output in message.outputs:
        check_parameters(output.parameters, "outputs")
    names = tuple(output.name for output in message.outputs)
    return InferRequest(tensors, names, message.id, message.ByteSize())


def format_answer(request: InferRequest, answer: TensorAnswer) -> Any:
    """Return a ``ModelInferResponse``; contents are always raw, as Triton's are."""
    response = service_pb2.ModelInferResponse(
        model_name=answer.model.head_name, model_version=answer.model.version, id=request.id
    )
    for name, array in answer.outputs.items():
        response.outputs.add(name=name, datatype=DATATYPES[array.dtype.name], shape=array.shape)
        response.raw_output_contents.append(to_bytes(array))
    if answer.notes:
        response.parameters[NOTES].string_param = notes_text(answer.notes)
    return response


def _typed_values(tensor: Any, where: str) -> list[Any]:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        message = f"{where}: {tensor.datatype[:20]!r} has no typed contents; send raw ones"
        raise InvalidInputError(message, field=where)
    return list(getattr(tensor.contents, field))
