"""What is logged of requests: one line each, without their content."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from service.access.api_keys import create_key
from service.observability.access_logger import LOGGER
from service.observability.log_setup import configure
from service.request_context import REQUEST
from tests.support.outside_services.otlp import running_collector
from tests.support.requests.asgi import ROUTE, SENTIMENT, ask, run
from tests.support.service_parts.service_fakes import FakeRuntime


@pytest.fixture(autouse=True)
def quiet_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo at the end of the test what ``configure`` does to the process."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)


def lines(caplog: pytest.LogCaptureFixture) -> list[Mapping[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == LOGGER]


def test_a_request_is_one_line_without_its_content(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", LOGGER)

    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, b"my secret", X_Request_ID="abc")
        (line,) = lines(caplog)
        assert (line["method"], line["route"]) == ("POST", "/predict/{modality}/{task}")
        assert (line["status"], line["model"]) == (200, "text_sentiment")
        assert (line["bytes_in"], line["bytes_out"]) == (9, len(reply.body))
        assert line["duration_ms"] > 0
        assert line["request_id"] == "abc"
        assert "secret" not in caplog.text

    run(test)


@pytest.mark.parametrize(
    ("path", "method", "route"),
    [
        ("/models/text/sentiment", "GET", "/models/{modality}/{task}"),
        ("/v2/models/x/infer", "POST", "/v2/models/{name}/infer"),
        ("/predict/text", "POST", "/predict/{modality}"),
        ("/private/name", "GET", ""),
    ],
)
def test_a_line_has_the_route_and_not_what_the_caller_wrote_into_it(
    caplog: pytest.LogCaptureFixture, path: str, method: str, route: str
) -> None:
    caplog.set_level("INFO", LOGGER)

    async def test(app: FastAPI) -> None:
        await ask(app, path, method=method)
        assert [line["route"] for line in lines(caplog)] == [route]

    run(test)


def test_health_and_metrics_are_logged_for_debugging_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(app: FastAPI) -> None:
        for level, count in (("INFO", 0), ("DEBUG", 3)):
            caplog.set_level(level, LOGGER)
            for path in ("/healthz", "/readyz", "/metrics"):
                await ask(app, path, method="GET")
            assert len(lines(caplog)) == count

    run(test)


def test_requests_need_not_be_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", LOGGER)

    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE)
        assert lines(caplog) == []

    run(test, access_log=False)


def test_a_line_names_the_key_and_never_holds_it(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("DEBUG", LOGGER)
    key = create_key(tmp_path / "keys.json", "alice")

    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, X_API_Key=key)
        await ask(app, ROUTE, X_API_Key=key + "x")
        assert [(line["key"], line["status"]) for line in lines(caplog)] == [
            ("alice", 200),
            ("", 401),
        ]
        assert key not in caplog.text

    run(test, api_keys_file=tmp_path / "keys.json")


def test_a_defect_is_logged_as_what_the_caller_got(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", LOGGER)
    runtime = FakeRuntime(SENTIMENT)

    async def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    runtime.infer = fail  # type: ignore[assignment,method-assign]

    async def test(app: FastAPI) -> None:
        with pytest.raises(RuntimeError):
            await ask(app, ROUTE)
        assert [line["status"] for line in lines(caplog)] == [500]

    run(test, runtime)


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_logged_for_a_request_names_it_in_threads_too(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    runtime = FakeRuntime(SENTIMENT)
    answer = runtime.infer

    async def infer(*arguments: Any) -> Any:
        logging.getLogger("engine").info("computing")
        await asyncio.to_thread(logging.getLogger("thread").info, "working")
        return await answer(*arguments)

    runtime.infer = infer  # type: ignore[method-assign, assignment]
    configure("info", "json" if form == "json" else "text")

    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, X_Request_ID="abc-1")

    run(test, runtime)
    written = [line for line in capsys.readouterr().err.splitlines() if "asyncio" not in line]
    named = [line for line in written if any(w in line for w in ("computing", "working", "http "))]
    assert len(named) == 3
    assert all("abc-1" in line for line in named)
    if form == "json":
        values = [json.loads(line) for line in written]
        assert {value["level"] for value in values} == {"INFO"}
        assert all(value["time"].endswith("Z") for value in values)
        (access,) = [value for value in values if value["logger"] == LOGGER]
        assert (access["status"], access["model"]) == (200, "text_sentiment")


@pytest.mark.parametrize("traced", [False, True])
def test_the_server_can_name_the_request_after_the_application_has_returned(
    traced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, X_Request_ID="abc-1")
        assert REQUEST.get().request_id == "abc-1"
        assert REQUEST.get().deadline == float("inf")

    with running_collector() as collector:
        if traced:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        run(test)
        assert bool(collector.spans) is traced
