from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.datastructures import Headers

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    InvalidParameterError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess.base import Parameters
from service.http.forms.json_requests import PredictRequest
from service.http.request_forms import RequestReader
from service.pipeline.host_stages import FileInput, JsonInput
from tests.support.service_parts.service_fakes import JsonLettersPreprocessor, LettersPreprocessor

MULTIPART_X = "multipart/form-data; boundary=x"


class MemoryBody:
    """A body that is there already; remembers the limit it was read with."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.limit = 0

    async def read(self, limit: int) -> bytes:
        self.limit = limit
        return self.data

    async def chunks(self, limit: int) -> AsyncIterator[bytes]:
        self.limit = limit
        for start in range(0, len(self.data), 7):
            yield self.data[start : start + 7]


def read(
    data: bytes | str, content_type: str | None = None, *, takes_json: bool = False
) -> PredictRequest:
    kind = JsonLettersPreprocessor if takes_json else LettersPreprocessor
    reader = RequestReader(kind(Parameters()), max_body_bytes=10_000, max_json_values=100)
    body = MemoryBody(data.encode() if isinstance(data, str) else data)
    headers = Headers({} if content_type is None else {"content-type": content_type})
    return asyncio.run(reader.read(headers, body))


def form(files=(), fields=None) -> tuple[bytes, str]:
    request = httpx.Request("POST", "http://x", files=list(files), data=fields or {})
    return request.read(), request.headers["content-type"]


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", ""])
def test_bytes_of_no_type_are_sniffed(content_type: str | None) -> None:
    assert read(b"abc", content_type).inputs == [FileInput(b"abc", None)]


def test_the_default_type_of_curl_is_sniffed() -> None:
    assert read(b"abc", "application/x-www-form-urlencoded").inputs == [FileInput(b"abc", None)]


@pytest.mark.parametrize("content_type", ["text/letters", "Text/Letters; charset=utf-8"])
def test_a_declared_type_is_kept(content_type: str) -> None:
    assert read(b"abc", content_type).inputs == [FileInput(b"abc", "text/letters")]


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedMediaTypeError) as caught:
        read(b"abc", "text/html")
    assert caught.value.known == ("text/letters", "application/json", "multipart/form-data")


def test_an_empty_body_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        read(b"", "text/letters")


def test_json_holds_inputs_and_parameters() -> None:
    request = read('{"inputs": "YWJj", "parameters": {"top_k": 2}}', "application/json")
    assert request == PredictRequest([JsonInput("YWJj")], {"top_k": 2})


def test_json_without_a_content_type_is_recognised() -> None:
    assert read('  {"inputs": "YWJj"}').inputs == [JsonInput("YWJj")]


def test_a_list_of_inputs_is_a_batch() -> None:
    request = read('{"inputs": ["YQ==", "Yg=="]}', "application/json")
    assert request.batched
    assert request.inputs == [JsonInput("YQ=="), JsonInput("Yg==")]


def test_parameters_beside_the_inputs_are_parameters() -> None:
    request = read('{"inputs": "YQ==", "normalize": true}', "application/json")
    assert request.parameters == {"normalize": True}


def test_a_table_is_one_input() -> None:
    request = read('{"table": {"a": [1, 2]}}', "application/json")
    assert request.inputs == [JsonInput({"table": {"a": [1, 2]}})]


def test_inputs_and_table_together_are_refused() -> None:
    with pytest.raises(InvalidInputError):
        read('{"inputs": 1, "table": {}}', "application/json")


def test_a_json_document_is_the_input_where_json_is_a_format() -> None:
    assert read('"abc"', "application/json", takes_json=True).inputs == [JsonInput("abc")]


def test_a_json_document_is_refused_where_json_is_no_format() -> None:
    with pytest.raises(InvalidInputError, match='"inputs"'):
        read('{"image": "abc"}', "application/json")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"inputs": NaN}',
        b'{"inputs": Infinity}',
        b'{"inputs": "\xff"}',
        b'{"inputs": "a",}',
        b"[" * 50 + b"]" * 49,
        b'{"a":' * 90 + b"1",
    ],
)
def test_what_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(UndecodableError):
        read(data, "application/json")


def test_deep_nesting_is_refused() -> None:
    reader = RequestReader(LettersPreprocessor(Parameters()), 10**6, 10**6)
    body = MemoryBody(b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    with pytest.raises(UndecodableError):
        asyncio.run(reader.read(Headers({"content-type": "application/json"}), body))


def test_duplicate_keys_are_tolerated_and_the_last_wins() -> None:
    assert read('{"inputs": "a", "inputs": "b"}', "application/json").inputs == [JsonInput("b")]


def test_huge_numbers_are_not_an_error_of_the_reader() -> None:
    number = "9" * 400
    [only] = read(f'{{"inputs": {{"x": {number}}}}}', "application/json").inputs
    assert isinstance(only, JsonInput)


def test_many_values_are_refused_before_they_are_made() -> None:
    with pytest.raises(TooLargeError):
        read(json.dumps({"inputs": [[]] * 200}), "application/json")


@pytest.mark.parametrize("parameters", ["[]", '"top_k"', "3"])
def test_parameters_that_are_no_object_are_refused(parameters: str) -> None:
    with pytest.raises(InvalidParameterError):
        read(f'{{"inputs": "a", "parameters": {parameters}}}', "application/json")


def test_a_form_with_one_file_is_one_input() -> None:
    data, kind = form([("file", ("a.txt", b"abc", "text/letters"))], {"parameters": '{"k": 1}'})
    request = read(data, kind)
    assert request == PredictRequest([FileInput(b"abc", "text/letters")], {"k": 1})


def test_a_form_with_several_files_is_a_batch_in_their_order() -> None:
    data, kind = form([("file", ("a", b"abc")), ("file", ("b", b"def"))])
    request = read(data, kind)
    assert request.batched
    assert [i.data for i in request.inputs if isinstance(i, FileInput)] == [b"abc", b"def"]


class ListPreprocessor(LettersPreprocessor):
    """Takes files that are lists: their parts are separated by commas."""

    def split_file(self, data: bytes, media_type: str | None = None) -> list[bytes] | None:
        return data.split(b",") if b"," in data else None


@pytest.mark.parametrize("kind", ["file", "form"])
def test_a_file_that_is_a_list_is_a_batch_of_its_parts(kind: str) -> None:
    reader = RequestReader(ListPreprocessor(Parameters()), 10_000, 100)
    data, content_type = b"ab,cd", "text/letters"
    if kind == "form":
        data, content_type = form([("file", ("a", data, "text/letters"))])
    headers = Headers({"content-type": content_type})
    request = asyncio.run(reader.read(headers, MemoryBody(data)))
    assert request.batched
    assert request.inputs == [FileInput(b"ab", "text/letters"), FileInput(b"cd", "text/letters")]


def test_a_wrong_guess_of_a_form_tool_is_corrected_by_the_content() -> None:
    data, kind = form([("file", ("a.xyz", b"abc", "chemical/x-xyz"))])
    assert read(data, kind).inputs == [FileInput(b"abc", None)]


def test_a_form_with_a_file_of_another_type_is_refused() -> None:
    data, kind = form([("file", ("a.html", b"<html>", "text/html"))])
    with pytest.raises(UnsupportedMediaTypeError):
        read(data, kind)


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        ([], {"parameters": "{}"}),
        ([("image", ("a", b"abc"))], {}),
        ([("file", (None, b"null"))], {}),
        ([("file", ("a", b"abc"))], {"parameters": "{"}),
        ([("file", ("a", b"abc"))], {"parameters": "[1]"}),
        ([("file", ("a", b"abc"))], {"top_k": "1"}),
        ([("file", ("a", b""))], {}),
        ([("file", ("a", b"abc"))] * 5, {}),
    ],
)
def test_a_form_that_is_not_as_documented_is_refused(files, fields) -> None:
    data, kind = form(files or [("unused", (None, b""))], fields)
    with pytest.raises(InputError):
        read(data, kind)


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"abc", "multipart/form-data"),
        (b"abc", MULTIPART_X),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
        (b"--x\r\n\r\n\r\na", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data; boundary=x"),
    ],
)
def test_a_broken_form_is_refused(data: bytes, content_type: str) -> None:
    with pytest.raises(InputError):
        read(data, content_type)


def test_one_input_over_its_limit_is_refused_in_every_form() -> None:
    long = b"a" * 1001
    data, kind = form([("file", ("a", long))])
    for body, content_type in ((long, "text/letters"), (long, None), (data, kind)):
        with pytest.raises(TooLargeError):
            read(body, content_type)


def test_the_body_is_read_no_further_than_one_input_of_a_known_type() -> None:
    body = MemoryBody(b"abc")
    reader = RequestReader(LettersPreprocessor(Parameters()), 10_000, 100)
    asyncio.run(reader.read(Headers({"content-type": "text/letters"}), body))
    assert body.limit == 1000
