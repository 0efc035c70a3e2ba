from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.spec import DType, HeadSpec, Limits
from service.oip import grpc_wire, http_wire
from service.oip.tensors import DATATYPES, check_ids, dynamic_limit, max_values, read_tensors
from service.pipeline.answers import TensorAnswer, Timings
from service.runtimes.base import Model
from tests.support.requests.oip import (
    binary_body,
    json_body,
    random_array,
    tensors_spec,
    wire_input,
)

DTYPES = get_args(DType)
Arrays = Mapping[str, np.ndarray]

MANY = 1_000_000


def spec_of(arrays: Arrays) -> HeadSpec:
    return tensors_spec(*((name, a.dtype.name, a.shape[1:]) for name, a in arrays.items()))


def over_json(arrays: Arrays) -> dict[str, np.ndarray]:
    request = http_wire.parse_request(json_body(arrays), None, MANY)
    return read_tensors(spec_of(arrays), request.infer.inputs)


def over_flat_json(arrays: Arrays) -> dict[str, np.ndarray]:
    inputs = [wire_input(name, a, data=a.ravel().tolist()) for name, a in arrays.items()]
    body = json.dumps({"inputs": inputs}).encode()
    return read_tensors(spec_of(arrays), http_wire.parse_request(body, None, MANY).infer.inputs)


def over_binary(arrays: Arrays) -> dict[str, np.ndarray]:
    request = http_wire.parse_request(*binary_body(arrays), MANY)
    return read_tensors(spec_of(arrays), request.infer.inputs)


def message_of(arrays: Arrays) -> Any:
    message = service_pb2.ModelInferRequest(model_name="text_sentiment")
    for name, array in arrays.items():
        message.inputs.add(name=name, datatype=DATATYPES[array.dtype.name], shape=array.shape)
    return message


def over_grpc_raw(arrays: Arrays) -> dict[str, np.ndarray]:
    message = message_of(arrays)
    message.raw_input_contents.extend(a.tobytes() for a in arrays.values())
    return read_tensors(spec_of(arrays), grpc_wire.parse_request(message).inputs)


TYPED = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
}


def over_grpc_typed(arrays: Arrays) -> dict[str, np.ndarray]:
    message = message_of(arrays)
    for one, array in zip(message.inputs, arrays.values(), strict=True):
        field = TYPED[one.datatype]
        getattr(one.contents, field).extend(array.ravel().tolist())
    return read_tensors(spec_of(arrays), grpc_wire.parse_request(message).inputs)


WAYS = [over_json, over_flat_json, over_binary, over_grpc_raw, over_grpc_typed]


@pytest.mark.parametrize(
    ("way", "dtype"),
    [
        pytest.param(way, dtype, id=f"{way.__name__}-{dtype}")
        for way in WAYS
        for dtype in DTYPES
        if way is not over_grpc_typed or DATATYPES[dtype] in TYPED
    ],
)
def test_tensors_of_every_type_arrive_as_they_were_sent(
    way: Callable[[Arrays], dict[str, np.ndarray]], dtype: str
) -> None:
    random = np.random.default_rng(7)
    for _ in range(20):
        rows = int(random.integers(1, 5))
        shape = tuple(random.integers(1, 5, random.integers(0, 4)).tolist())
        # The odd one in front leaves the next at an odd address.
        arrays = {
            "odd": random_array(random, "uint8", (rows, 3)),
            "a": random_array(random, dtype, (rows, *shape)),
            "b": random_array(random, dtype, (rows, 2)),
        }
        read = way(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name], array, strict=True)
            assert read[name].flags.c_contiguous
            assert read[name].flags.aligned


def answer(outputs: Arrays) -> TensorAnswer:
    return TensorAnswer(outputs, Model(tensors_spec(("x", "float32", (1,))), "3"), Timings())


@pytest.mark.parametrize("dtype", DTYPES)
def test_outputs_of_every_type_leave_as_they_are(dtype: str) -> None:
    array = random_array(np.random.default_rng(1), dtype, (3, 2, 2))
    inputs = json_body({"x": np.zeros((1, 1), np.float32)})
    wanted = [{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}]
    body = inputs[:-1] + b', "id": "me", "outputs": ' + json.dumps(wanted).encode() + b"}"
    request = http_wire.parse_request(body, None, MANY)
    written, json_bytes = http_wire.format_answer(request, answer({"a": array, "b": array}))
    head = json.loads(written[:json_bytes])
    assert (head["id"], head["model_name"], head["model_version"]) == ("me", "text_sentiment", "3")
    raw, values = head["outputs"]
    assert raw["parameters"] == {"binary_data_size": array.nbytes}
    assert "data" not in raw
    np.testing.assert_array_equal(
        np.frombuffer(written[json_bytes:], dtype).reshape(raw["shape"]), array, strict=True
    )
    np.testing.assert_array_equal(np.array(values["data"], dtype).reshape(3, 2, 2), array)
    response = grpc_wire.format_answer(request.infer, answer({"a": array}))
    assert response.raw_output_contents[0] == array.tobytes()
    assert list(response.outputs[0].shape) == [3, 2, 2]


GOOD: dict[str, Any] = {"name": "x", "datatype": "INT8", "shape": [2, 3], "data": [1, 2, 3] * 2}
SPEC = tensors_spec(("x", "int8", (3,)), max_batch_size=4)
TEXT = tensors_spec(("x", "int8", (-1,)), limits=Limits(tokens=10), max_batch_size=4)


def read(body: bytes, header: str | None = None, spec: HeadSpec = SPEC) -> dict[str, np.ndarray]:
    return read_tensors(spec, http_wire.parse_request(body, header, 1000).infer.inputs)


def one(**changes: Any) -> bytes:
    fields = {k: v for k, v in {**GOOD, **changes}.items() if v is not ...}
    return json.dumps({"inputs": [fields]}).encode()


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_negative_ids_are_refused_before_a_graph_takes_them_from_the_end(dtype: str) -> None:
    spec = tensors_spec(("x", dtype, (2,)))
    check_ids(spec, {"x": np.array([[0, 5]], dtype)})
    with pytest.raises(InvalidInputError, match=r"inputs\.x\.data: text_sentiment cannot take"):
        check_ids(spec, {"x": np.array([[3, -1]], dtype)})


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
def test_signals_may_be_negative(dtype: str) -> None:
    check_ids(tensors_spec(("x", dtype, (2,))), {"x": np.array([[3, -1]], dtype)})


def test_the_request_the_bad_ones_are_made_from_is_good() -> None:
    assert read(one())["x"].tolist() == [[1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"inputs": []}',
        b'{"inputs": {}}',
        b'{"inputs": [1]}',
        b"[" * 500_000,
        b'{"id": "\\ud800", "inputs": []}',
        b"\xff\xfe",
        json.dumps({"inputs": [GOOD, GOOD]}).encode(),
        json.dumps({"inputs": [GOOD], "id": 7}).encode(),
        json.dumps({"inputs": [GOOD], "outputs": "x"}).encode(),
        json.dumps({"inputs": [GOOD], "parameters": {"binary_data_output": 1}}).encode(),
        one(name="y"),
        one(name=7),
        one(name=...),
        one(datatype="INT16"),
        one(datatype="int8"),
        one(datatype="BYTES"),
        one(datatype=None),
        one(shape=...),
        one(shape=[]),
        one(shape=[6]),
        one(shape=[2, 3, 1]),
        one(shape=[3, 2]),
        one(shape=[-2, -3]),
        one(shape=[0, 3], data=[]),
        one(shape=[2.0, 3]),
        one(shape=[True, 3], data=[1, 2, 3]),
        one(shape=[10**30, 3]),
        one(shape=[2**62, 3]),
        one(shape=[5, 3], data=[1] * 15),
        one(data=...),
        one(data=None),
        one(data=7),
        one(data="abc"),
        one(data=[1, 2, 3]),
        one(data=[1] * 900),
        one(data=[[1, 2, 3]]),
        one(data=[[1, 2], [3, 4], [5, 6]]),
        one(data=[[1, 2, 3, 4], [5, 6]]),
        one(data=[[1, 2, 3], 4]),
        one(data=[[[1, 2, 3]], [[4, 5, 6]]]),
        one(data=[1, 2, 3, 4, 5, 128]),
        one(data=[1, 2, 3, 4, 5, 10**400]),
        one(data=[1, 2, 3, 4, 5, 6.0]),
        one(data=[1, 2, 3, 4, 5, True]),
        one(data=[1, 2, 3, 4, 5, "6"]),
        one(data=[1, 2, 3, 4, 5, None]),
        one(data=[1, 2, 3, 4, 5, {}]),
        one(data=..., parameters={"binary_data_size": 6}),
        one(data=..., parameters={"binary_data_size": -1}),
        one(data=..., parameters={"binary_data_size": "6"}),
        one(parameters={"binary_data_size": 0}),
        one(parameters={"shared_memory_region": "r"}),
    ],
    ids=lambda body: body[:90].decode(errors="replace"),
)
def test_a_malformed_body_is_the_callers_fault(body: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read(body)
    assert caught.type in (InvalidInputError, UndecodableError, TooLargeError)


@pytest.mark.parametrize(
    ("size", "raw", "header"),
    [
        (6, b"12345", None),
        (6, b"1234567", None),
        (5, b"12345", None),
        (True, b"1", None),
        (6, b"123456", "-1"),
        (6, b"123456", "x"),
        (6, b"123456", "0"),
        (6, b"123456", "9" * 5000),
        (6, b"123456", "99999"),
        (6, b"123456", "²"),
    ],
)
def test_raw_tensors_must_fill_the_body_exactly(size: Any, raw: bytes, header: str | None) -> None:
    head = one(data=..., parameters={"binary_data_size": size})
    with pytest.raises(InputError):
        read(head + raw, header or str(len(head)))


def test_json_of_many_values_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(TooLargeError, match="1,000 values"):
        read(one(data=[1] * 1001))


def test_more_rows_than_the_model_takes_are_too_large() -> None:
    with pytest.raises(TooLargeError, match="at most 4"):
        read(one(shape=[5, 3], data=[0] * 15))


def test_a_dynamic_axis_is_bounded_by_what_its_modality_counts() -> None:
    assert read(one(shape=[1, 10], data=[0] * 10), spec=TEXT)["x"].shape == (1, 10)
    with pytest.raises(TooLargeError, match="longer than 10"):
        read(one(shape=[1, 11], data=[0] * 11), spec=TEXT)
    assert max_values(TEXT) == 40
    assert dynamic_limit(Limits()) == 4096


def test_inputs_of_different_numbers_of_rows_are_refused() -> None:
    spec = tensors_spec(("x", "int8", (3,)), ("y", "int8", (3,)))
    inputs = [GOOD, {**GOOD, "name": "y", "shape": [1, 3], "data": [1, 2, 3]}]
    with pytest.raises(InvalidInputError, match="rows"):
        read(json.dumps({"inputs": inputs}).encode(), spec=spec)


@pytest.mark.parametrize("value", [1e39, -1e39, 10**400])
def test_a_number_too_large_for_its_type_is_not_turned_into_infinity(value: float) -> None:
    spec = tensors_spec(("x", "float32", (1,)))
    body = one(datatype="FP32", shape=[1, 1], data=[value])
    with pytest.raises(InputError):
        read(body, spec=spec)


def test_half_precision_has_no_typed_contents_and_says_so() -> None:
    message = message_of({"x": np.zeros((1, 2), np.float16)})
    with pytest.raises(InvalidInputError, match="send raw ones"):
        grpc_wire.parse_request(message)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.raw_input_contents.append(b"12"),
        lambda m: m.raw_input_contents.extend([b"123456", b""]),
        lambda m: m.raw_input_contents.append(b"1234567"),
        lambda m: m.inputs[0].contents.int_contents.extend([1, 2, 3, 4, 5]),
        lambda m: m.inputs[0].contents.int_contents.extend([1, 2, 3, 4, 5, 300]),
        lambda m: m.inputs[0].contents.fp32_contents.extend([1.0] * 6),
        lambda m: m.inputs[0].shape.append(2**62),
        lambda m: (
            m.inputs[0]
            .parameters["shared_memory_region"]
            .MergeFrom(service_pb2.InferParameter(string_param="r"))
        ),
        lambda m: (
            m.raw_input_contents.append(b"123456"),
            m.inputs[0].contents.int_contents.append(1),
        ),
        lambda m: m.inputs.add(name="y"),
        lambda m: m.ClearField("inputs"),
    ],
)
def test_a_malformed_message_is_the_callers_fault(change: Callable[[Any], object]) -> None:
    message = message_of({"x": np.zeros((2, 3), np.int8)})
    change(message)
    with pytest.raises(InvalidInputError):
        read_tensors(SPEC, grpc_wire.parse_request(message).inputs)
