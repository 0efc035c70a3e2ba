"""Notes on inputs, from the pre-processor to the answer, its header, the metrics and the log."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from fastapi import FastAPI

from service.access.api_keys import create_key
from service.http.notes_header import parse_notes
from tests.support.requests.asgi import ROUTE, ask, run

LONG = b"good film " * 400
JSON = "application/json"


def test_an_answer_without_notes_has_no_header() -> None:
    async def test(app: FastAPI) -> None:
        assert "x-notes" not in (await ask(app, ROUTE)).headers

    run(test)


def test_an_answer_names_what_was_cut() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, LONG)
        assert reply.status == 200
        (note,) = parse_notes(reply.headers["x-notes"])
        assert note["code"] == "cut"
        assert isinstance(note["count"], int)
        assert note["count"] > 500
        assert "field" not in note

    run(test)


def test_notes_on_several_inputs_name_theirs_in_order() -> None:
    async def test(app: FastAPI) -> None:
        texts = [LONG.decode(), "good", LONG.decode()]
        body = json.dumps({"inputs": texts}).encode()
        reply = await ask(app, ROUTE, body, content_type=JSON)
        fields = [note["field"] for note in parse_notes(reply.headers["x-notes"])]
        assert fields == ["inputs[0]", "inputs[2]"]

    run(test)


def test_several_tasks_on_an_input_note_it_once() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, "/predict/text", LONG, query="tasks=sentiment")
        assert len(parse_notes(reply.headers["x-notes"])) == 1

    run(test)


def test_a_strict_request_is_refused_with_its_notes() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, LONG, x_strict="true")
        assert reply.status == 422
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json["title"] == "Noted input"
        assert "tokens" in reply.json["detail"]
        (note,) = reply.json["notes"]
        assert note["code"] == "cut"
        assert (await ask(app, ROUTE, b"good", x_strict="true")).status == 200
        assert (await ask(app, ROUTE, LONG, x_strict="false")).status == 200
        assert (await ask(app, ROUTE, b"good", x_strict="perhaps")).status == 422

    run(test)


def test_a_strict_list_names_the_input() -> None:
    async def test(app: FastAPI) -> None:
        body = json.dumps({"inputs": ["good", LONG.decode()]}).encode()
        reply = await ask(app, ROUTE, body, content_type=JSON, x_strict="true")
        assert reply.status == 422
        assert reply.json["field"] == "inputs[1]"
        assert reply.json["notes"][0]["field"] == "inputs[1]"

    run(test)


def test_a_setting_makes_all_requests_strict() -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, ROUTE, LONG)).status == 422
        assert (await ask(app, ROUTE, LONG, x_strict="false")).status == 422

    run(test, strict_input=True)


def test_a_key_makes_its_requests_strict(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    strict, other = create_key(file, "strict", strict=True), create_key(file, "other")

    async def test(app: FastAPI) -> None:
        for key, status in ((strict, 422), (other, 200)):
            assert (await ask(app, ROUTE, LONG, x_api_key=key)).status == status

    run(test, api_keys_file=file)


def test_notes_are_counted_by_head_and_code() -> None:
    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, LONG)
        await ask(app, ROUTE, LONG, x_strict="true")
        await ask(app, ROUTE)
        text = (await ask(app, "/metrics", method="GET")).body.decode()
        labels = 'code="cut",modality="text",task="sentiment"'
        assert f"omnivec2_input_notes_total{{{labels}}} 2.0" in text

    run(test)


def test_the_access_log_names_the_codes(caplog: pytest.LogCaptureFixture) -> None:
    async def test(app: FastAPI) -> None:
        body = json.dumps({"inputs": [LONG.decode()] * 2}).encode()
        with caplog.at_level(logging.INFO, "omnivec2.access"):
            await ask(app, ROUTE, body, content_type=JSON)
            await ask(app, ROUTE)
        lines = [r.getMessage() for r in caplog.records if r.name == "omnivec2.access"]
        noted, plain = lines
        assert "notes=cut:2" in noted
        assert "notes=" not in plain

    run(test)
