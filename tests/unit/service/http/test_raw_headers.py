from __future__ import annotations

from starlette.types import Message

from service.http.raw_headers import add_headers, header_text, request_header, set_header


def start(*headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def test_the_first_value_of_a_request_header_counts() -> None:
    scope = {"headers": [(b"a", b"1"), (b"b", b"2"), (b"b", b"3")]}
    assert request_header(scope, b"b") == b"2"
    assert request_header(scope, b"c") is None
    assert (header_text(scope, b"a"), header_text(scope, b"c")) == ("1", None)


def test_a_header_is_set_in_the_place_of_any_of_its_name() -> None:
    message = start((b"a", b"1"), (b"b", b"2"), (b"a", b"3"))
    set_header(message, b"a", b"4")
    assert message["headers"] == [(b"b", b"2"), (b"a", b"4")]


def test_headers_replace_those_that_are_there_or_give_way_to_them() -> None:
    message = start((b"a", b"1"), (b"b", b"2"))
    add_headers(message, [(b"a", b"9")], [(b"b", b"9"), (b"c", b"9")])
    assert message["headers"] == [(b"b", b"2"), (b"a", b"9"), (b"c", b"9")]


def test_a_response_without_headers_gets_them() -> None:
    message: Message = {"type": "http.response.start", "status": 200}
    add_headers(message, [(b"a", b"1")], [(b"b", b"2")])
    assert message["headers"] == [(b"a", b"1"), (b"b", b"2")]


def test_the_list_of_the_response_itself_stays_as_it_is() -> None:
    shared = [(b"a", b"1")]
    message: Message = {"type": "http.response.start", "headers": shared}
    add_headers(message, [(b"b", b"2")], [])
    set_header(message, b"a", b"3")
    assert shared == [(b"a", b"1")]
