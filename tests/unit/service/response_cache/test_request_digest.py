from __future__ import annotations

import itertools

from omnivec2.preprocess.notes import Note, NoteCode
from service.pipeline.host_stages import FileInput, JsonInput
from service.response_cache.request_digest import request_digest


def test_requests_that_differ_in_anything_have_other_digests() -> None:
    note = Note(NoteCode.GUESSED, "read as text")
    digests = [
        request_digest([JsonInput("a")], {}),
        request_digest([JsonInput("b")], {}),
        request_digest([JsonInput("a"), JsonInput("")], {}),
        request_digest([JsonInput("a"), JsonInput("b")], {}),
        request_digest([JsonInput("b"), JsonInput("a")], {}),
        request_digest([JsonInput("ab")], {}),
        request_digest([JsonInput(["a"])], {}),
        request_digest([JsonInput(1)], {}),
        request_digest([JsonInput(1.5)], {}),
        request_digest([JsonInput("1")], {}),
        request_digest([JsonInput(True)], {}),
        request_digest([JsonInput(None)], {}),
        request_digest([JsonInput(float("nan"))], {}),
        request_digest([JsonInput(float("inf"))], {}),
        request_digest([JsonInput({"x": [1], "y": [2]})], {}),
        request_digest([JsonInput({"y": [2], "x": [1]})], {}),
        request_digest([FileInput(b"a")], {}),
        request_digest([FileInput(b'"a"')], {}),
        request_digest([FileInput(b"a", "text/plain")], {}),
        request_digest([JsonInput("a")], {"top_k": 1}),
        request_digest([JsonInput("a")], {"top_k": 2}),
        request_digest([JsonInput("a")], {"top_k": "1"}),
        request_digest([JsonInput("a")], {}, "alice"),
        request_digest([JsonInput("a")], {}, "bob"),
        request_digest([JsonInput("a")], {}, "alice", "bob"),
        request_digest([JsonInput("a")], {}, "alicebob"),
        request_digest([JsonInput("a")], {}, notes=[note]),
    ]
    for one, other in itertools.combinations(digests, 2):
        assert one != other


def test_the_same_request_has_the_same_digest_however_long_its_json_was() -> None:
    one = request_digest([JsonInput("é", 3)], {"top_k": 1}, "alice")
    assert one == request_digest([JsonInput("é", 30)], {"top_k": 1}, "alice")
