"""Requests as people's tools really send them, which give what the documented form gives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from starlette.datastructures import Headers

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    InvalidParameterError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import Preprocessor, preprocessor_type
from omnivec2.spec import Modality
from service.http.forms.json_requests import PredictRequest
from service.http.request_forms import RequestReader
from service.pipeline.host_stages import FileInput, JsonInput
from tests.support.service_parts.service_fakes import LettersPreprocessor

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class _Body:
    def __init__(self, data: bytes) -> None:
        self.data = data

    async def read(self, limit: int) -> bytes:
        return self.data

    async def chunks(self, limit: int) -> AsyncIterator[bytes]:
        yield self.data


def text(*, pair: bool = False) -> Preprocessor[Any, Any]:
    kind = preprocessor_type(Modality.TEXT)
    return kind(kind.parameters_type.model_validate({"pair": pair}))


def letters() -> Preprocessor[Any, Any]:
    return LettersPreprocessor(LettersPreprocessor.parameters_type())


def read(
    data: bytes | str, content_type: str | None = None, preprocessor: Any = None
) -> PredictRequest:
    reader = RequestReader(preprocessor or text(), 10**6, 10_000)
    body: Any = _Body(data.encode() if isinstance(data, str) else data)
    headers = Headers({} if content_type is None else {"content-type": content_type})
    return asyncio.run(reader.read(headers, body))


def values(request: PredictRequest) -> Sequence[Any]:
    return [
        one.value if isinstance(one, JsonInput) else one.data.decode() for one in request.inputs
    ]


def codes(request: PredictRequest) -> list[str]:
    return [note.code.value for note in request.notes]


@pytest.mark.parametrize("content_type", ["text/plain", "text/plain;charset=UTF-8", "text/csv"])
def test_a_json_request_sent_as_text_is_a_request_and_noted(content_type: str) -> None:
    preprocessor = text() if "plain" in content_type else None
    if preprocessor is None:
        kind = preprocessor_type(Modality.TIMESERIES)
        pytest.importorskip("pyarrow")
        preprocessor = kind(kind.parameters_type())
    request = read('{"inputs": "I did not like it"}', content_type, preprocessor)
    assert values(request) == ["I did not like it"]
    assert codes(request) == ["guessed"]


def test_a_json_list_sent_as_text_is_a_batch() -> None:
    request = read('["good", "bad"]', "text/plain")
    assert values(request) == ["good", "bad"]
    assert request.batched


def test_a_text_about_json_stays_a_text() -> None:
    for sentence in ('{"colour": "red"} is JSON', '{"colour": "red"}', "[sic] what a film", "[]"):
        request = read(sentence, "text/plain")
        assert request.inputs == [FileInput(sentence.encode(), "text/plain")]
        assert not request.notes


@pytest.mark.parametrize("content_type", ["text/json", "application/vnd.api+json", None])
def test_other_names_of_json_are_json(content_type: str | None) -> None:
    request = read('{"inputs": ["a", "b"]}', content_type)
    assert values(request) == ["a", "b"]
    assert not request.notes


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_json_may_have_a_byte_order_mark(encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    assert values(read((mark + '{"inputs": "é"}').encode(encoding), JSON)) == ["é"]
    if encoding == "utf-8-sig":
        assert values(read('{"inputs": "é"}'.encode(encoding))) == ["é"]


def test_raw_line_breaks_in_a_json_string_are_kept_and_noted() -> None:
    request = read('{"inputs": "one\ntwo"}', JSON)
    assert values(request) == ["one\ntwo"]
    assert codes(request) == ["repaired"]


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        ("inputs=a+good+film", ["a good film"]),
        ("inputs=caf%C3%A9", ["café"]),
        ("inputs=a&inputs=b", ["a", "b"]),
        ("inputs%5B%5D=a&inputs%5B%5D=b", ["a", "b"]),
        ("text=a good film", [{"text": "a good film"}]),
        ('inputs=["a","b"]', ["a", "b"]),
    ],
)
def test_fields_of_a_form_are_inputs(body: str, inputs: list[Any]) -> None:
    assert values(read(body, FORM)) == inputs


def test_parameters_of_a_form_are_json() -> None:
    request = read("inputs=a&parameters=%7B%22top_k%22%3A1%7D", FORM)
    assert request.parameters == {"top_k": 1}
    with pytest.raises(InvalidParameterError):
        read("inputs=a&parameters=3", FORM)


@pytest.mark.parametrize("body", ["review=a+good+film", "inputs=a&film=b", "colour=red&size=4"])
def test_an_unknown_field_of_a_form_is_refused_by_name(body: str) -> None:
    with pytest.raises(InvalidInputError, match=r"form.*unknown field"):
        read(body, FORM)


@pytest.mark.parametrize("body", ["a good film", "C=CC(=O)O", "N=C=O", "1 = 1 is true", "a,b\n1,2"])
def test_a_file_that_curl_declares_as_a_form_stays_a_file(body: str) -> None:
    assert values(read(body, FORM)) == [body]


def test_options_of_older_clients_of_hugging_face_change_nothing() -> None:
    options = {"wait_for_model": True, "use_cache": False}
    request = read(json.dumps({"inputs": "a", "options": options}), JSON)
    assert values(request) == ["a"]
    assert request.parameters == {}
    assert not request.notes


def test_an_unknown_option_is_noted() -> None:
    request = read('{"inputs": "a", "options": {"top_k": 3}}', JSON)
    (note,) = request.notes
    assert (note.code, note.field) == ("ignored", "options.top_k")


def test_instances_of_other_servers_are_inputs() -> None:
    body = {"instances": ["a", "b"], "signature_name": "serving_default"}
    request = read(json.dumps(body), JSON)
    assert values(request) == ["a", "b"]
    assert codes(request) == ["ignored"]
    objects = read('{"instances": [{"b64": "YWJj"}]}', JSON, letters())
    assert values(objects) == [{"b64": "YWJj"}]
    assert objects.batched


def test_data_frames_of_mlflow_are_columns_or_rows() -> None:
    split = {"columns": ["a", "b"], "index": [7, 8], "data": [[1, "x"], [2, "y"]]}
    request = read(json.dumps({"dataframe_split": split, "params": {"k": 1}}), JSON)
    assert values(request) == [{"a": [1, 2], "b": ["x", "y"]}]
    assert request.parameters == {"k": 1}
    records = [{"a": 1}, {"a": 2}]
    assert values(read(json.dumps({"dataframe_records": records}), JSON)) == records


@pytest.mark.parametrize(
    "split",
    [
        3,
        {"columns": ["a"]},
        {"columns": ["a", "a"], "data": [[1, 2]]},
        {"columns": ["a", "b"], "data": [[1, 2], [3]]},
        {"columns": ["a"], "data": [{"a": 1}]},
    ],
)
def test_a_data_frame_that_is_none_is_refused(split: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(json.dumps({"dataframe_split": split}), JSON)
    assert str(caught.value.field).startswith("dataframe_split")


def test_a_table_with_a_column_named_like_an_envelope_is_a_table() -> None:
    kind = preprocessor_type(Modality.TIMESERIES)
    table = {"instances": [1, 2], "temperature": [3, 4]}
    request = read(json.dumps(table), JSON, kind(kind.parameters_type()))
    assert values(request) == [table]


def test_lines_of_json_are_inputs() -> None:
    body = '{"inputs": "a"}\n"b"\n\n{"text": "c"}\n'
    request = read(body, "application/x-ndjson")
    assert values(request) == ["a", "b", {"text": "c"}]
    with pytest.raises(InputError, match="parameters"):
        read('{"inputs": "a", "parameters": {"top_k": 1}}', "application/jsonl")
    with pytest.raises(InputError, match="JSON Lines"):
        read(body, JSON)


def test_a_wrong_line_of_json_is_named_by_its_number() -> None:
    with pytest.raises(InputError, match="line 3 is not valid JSON") as failure:
        read('{"inputs": "a"}\n\n{"inputs":\n', "application/x-ndjson")
    assert failure.value.field == "line 3"
    with pytest.raises(InputError, match="without parameters") as failure:
        read('"a"\n\n{"inputs": "a", "parameters": {"top_k": 1}}', "application/jsonl")
    assert failure.value.field == "line 3"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "the body is empty; expected JSON"),
        (b" \n", "the body is empty; expected JSON"),
        (b'{"inputs": "caf\xe9"}', "JSON is written in UTF-8"),
        (b"{'inputs': 'a'}", "names and texts are in double quotes"),
        (b'{"inputs": "a",}', r"trailing comma at line 1 column 16$"),
        (b'{"inputs": "a"} {}', "one JSON document is expected"),
    ],
)
def test_json_that_is_none_says_what_is_expected(body: bytes, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        read(body, JSON)


@pytest.mark.parametrize("content_type", ["image/x-letters", "text/plain", "application/letters"])
def test_a_file_under_another_type_is_read_as_what_it_is_and_noted(content_type: str) -> None:
    request = read(b"abc", content_type, letters())
    assert request.inputs == [FileInput(b"abc", None)]
    assert codes(request) == ["guessed"]


def test_an_address_in_a_form_is_not_fetched() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
        b"https://example.org/cat.jpg\r\n--x--\r\n"
    )
    with pytest.raises(InvalidInputError, match="URLs are not fetched"):
        read(body, "multipart/form-data; boundary=x", letters())


@pytest.mark.parametrize("content_type", ["image/x-letters", "text/plain", "application/letters"])
def test_a_file_that_is_not_recognised_is_refused_by_its_type(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=content_type):
        read(b"123", content_type, letters())


@pytest.mark.parametrize(
    ("content_type", "hint"),
    [("application/pdf", "pdftotext"), ("text/html", "markup"), ("application/zip", "one by one")],
)
def test_a_type_that_is_not_taken_comes_with_a_way_to_convert_it(
    content_type: str, hint: str
) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=hint) as caught:
        read(b"...", content_type)
    assert content_type in str(caught.value)
