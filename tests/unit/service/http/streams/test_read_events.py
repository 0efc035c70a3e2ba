from __future__ import annotations

import pytest

from service.http.streams.read_events import read_events


def test_events_are_read_and_comments_are_skipped() -> None:
    body = (
        b': keep-alive\n\nevent: token\nid: 1\ndata: {"index": 0}\n\n'
        b': keep-alive\r\n\r\nevent: answer\r\nid: 2\r\ndata: {"answer": []}\r\n\r\n'
    )
    assert list(read_events(body.splitlines(keepends=True))) == [
        ("token", {"index": 0}),
        ("answer", {"answer": []}),
    ]


def test_an_event_that_is_cut_off_is_none() -> None:
    assert list(read_events([b"event: answer\n", b'data: {"answer": []}\n'])) == []


def test_data_that_is_no_object_is_an_error() -> None:
    with pytest.raises(ValueError, match="token"):
        list(read_events([b"event: token\n", b"data: [1]\n", b"\n"]))
