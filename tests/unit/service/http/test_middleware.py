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
from service.http.middleware.unread_body import UnreadBodyMiddleware
from service.observability.access_logger import LOGGER
from service.observability.log_setup import configure
from service.request_context import REQUEST
from tests.support.asgi import ROUTE, SENTIMENT, Reply, ask, run
from tests.support.otlp import running_collector
from tests.support.service_fakes import FakeRuntime


@pytest.fixture(autouse=True)
def quiet_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo at the end of the test what ``configure`` does to the process."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    monkeypatch.setattr(root, "level", root.level)


def lines(caplog: pytest.LogCaptureFixture) -> list[Mapping[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == LOGGER]


# --- headers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "method"), [(ROUTE, "POST"), ("/nonsense", "GET"), ("/healthz", "GET")]
)
def test_every_response_has_headers_that_restrict_browsers(path: str, method: str) -> None:
    async def test(app: FastAPI) -> None:
        headers = (await ask(app, path, method=method)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")

    run(test)


def test_the_page_of_documentation_may_run_its_own_scripts_and_no_others() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, "/docs", method="GET")
        policy = reply.headers["content-security-policy"]
        assert "script-src 'self' 'sha256-" in policy
        assert "script-src 'self' 'unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        for file in ("swagger-ui-bundle.js", "swagger-ui.css"):
            path = f"/static-offline-docs/{file}"
            assert path in reply.body.decode()
            assert (await ask(app, path, method="GET")).status == 200

    run(test)


# --- hosts --------------------------------------------------------------------------------


async def status_for(app: FastAPI, host: str) -> int:
    return (await ask(app, "/models", method="GET", Host=host)).status


LOOPBACK = ("localhost", "LOCALHOST:8080", "a.localhost", "127.0.0.1:80", "[::1]:80", "gateway:80")
FOREIGN = ("attacker.example", "attacker.example:8080", "localhost.attacker.example", "a:b", "")


def test_by_default_only_local_names_and_addresses_are_answered() -> None:
    async def test(app: FastAPI) -> None:
        for host in LOOPBACK:
            assert await status_for(app, host) == 200
        for host in FOREIGN:
            assert await status_for(app, host) == 421
        reply = await ask(app, ROUTE, Host="attacker.example")
        assert reply.status == 421
        assert reply.headers["content-type"] == "application/problem+json"
        assert "OMNIVEC2_ALLOWED_HOSTS" in reply.json["error"]

    run(test)


@pytest.mark.parametrize("fields", [{"host": "0.0.0.0"}, {"allowed_hosts": ("*",)}])
def test_any_host_is_answered_where_others_may_call_or_all_are_allowed(fields: Any) -> None:
    async def test(app: FastAPI) -> None:
        assert await status_for(app, "gateway:8080") == 200

    run(test, **fields)


def test_any_host_is_answered_where_a_key_is_required(tmp_path: Path) -> None:
    key = create_key(tmp_path / "keys.json", "alice")

    async def test(app: FastAPI) -> None:
        reply = await ask(app, "/models", method="GET", Host="api.example", X_API_Key=key)
        assert reply.status == 200

    run(test, api_keys_file=tmp_path / "keys.json")


def test_hosts_are_allowed_by_name_and_by_domain() -> None:
    async def test(app: FastAPI) -> None:
        for host, status in (
            ("api.example", 200),
            ("a.internal.example:1", 200),
            ("internal.example", 421),
            ("xinternal.example", 421),
            ("localhost", 421),
            ("10.0.0.1", 200),
        ):
            assert await status_for(app, host) == status

    run(test, host="0.0.0.0", allowed_hosts=("api.example", "*.internal.example"))


# --- HEAD ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/healthz", "/readyz", "/metrics", "/models", "/openapi.json", "/v2"]
)
def test_head_is_answered_like_get_without_the_body(path: str) -> None:
    async def test(app: FastAPI) -> None:
        got = await ask(app, path, method="GET")
        head = await ask(app, path, method="HEAD")
        assert head.status == got.status == 200
        assert head.body == b""
        assert head.headers["content-type"] == got.headers["content-type"]

    run(test)


def test_head_is_refused_where_get_is() -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, ROUTE, method="HEAD")).status == 405

    run(test)


def test_pages_of_other_origins_may_not_ask_unless_they_are_named() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, Origin="https://a.example")
        assert "access-control-allow-origin" not in reply.headers

    run(test)


def test_pages_of_named_origins_may_ask_and_read_our_headers(tmp_path: Path) -> None:
    create_key(tmp_path / "keys.json", "alice")

    async def test(app: FastAPI) -> None:
        first = await ask(
            app,
            ROUTE,
            method="OPTIONS",
            Origin="https://a.example",
            Access_Control_Request_Method="POST",
            Access_Control_Request_Headers="authorization,x-request-timeout",
        )
        assert first.status == 200
        assert first.headers["access-control-allow-origin"] == "https://a.example"
        reply = await ask(app, ROUTE, Origin="https://a.example")
        assert reply.status == 401
        assert "X-Request-ID" in reply.headers["access-control-expose-headers"]
        other = await ask(app, ROUTE, Origin="https://b.example")
        assert "access-control-allow-origin" not in other.headers

    run(
        test,
        cors_origins="https://a.example,https://c.example",
        api_keys_file=tmp_path / "keys.json",
    )


# --- logs ---------------------------------------------------------------------------------


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


# --- stopping -----------------------------------------------------------------------------


def test_a_service_that_stops_is_not_ready_and_keeps_no_connection() -> None:
    async def test(app: FastAPI) -> None:
        assert "connection" not in (await ask(app, ROUTE)).headers
        app.state.gateway.shutdown.draining = True
        ready = await ask(app, "/readyz", method="GET")
        assert (ready.status, ready.json["detail"]) == (503, "the service is stopping")
        assert (await ask(app, "/v2/health/ready", method="GET")).status == 503
        reply = await ask(app, ROUTE)
        assert (reply.status, reply.headers["connection"]) == (200, "close")

    run(test)


def test_a_service_that_stops_refuses_new_requests_at_last_and_finishes_running_ones() -> None:
    async def test(app: FastAPI) -> None:
        under_way = asyncio.create_task(ask(app, ROUTE))
        await asyncio.sleep(0.1)
        app.state.gateway.shutdown.draining = app.state.gateway.shutdown.rejecting = True
        late = await ask(app, ROUTE)
        assert (late.status, late.headers["retry-after"]) == (503, "1")
        assert late.headers["connection"] == "close"
        assert "stopping" in late.json["error"]
        assert (await ask(app, "/healthz", method="GET")).status == 200
        reply = await under_way
        assert (reply.status, reply.headers["connection"]) == (200, "close")

    run(test, FakeRuntime(SENTIMENT, delay_seconds=0.3))


# --- bodies that are not read -------------------------------------------------------------


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Refuse a request without reading its body, as an application."""
    await send({"type": "http.response.start", "status": 429, "headers": []})
    await send({"type": "http.response.body", "body": b"no"})


async def refused(headers: dict[str, str], chunks: int) -> tuple[Reply, int]:
    """Return the answer to a body of so many chunks, and how many of them were read."""
    reply, taken = Reply(), 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        if taken >= chunks:
            await asyncio.sleep(60)
        taken += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": taken < chunks}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await UnreadBodyMiddleware(refuse)({"type": "http", "headers": raw}, receive, reply)
    return reply, taken


@pytest.mark.parametrize(
    ("headers", "closed", "taken"),
    [
        ({}, False, 0),
        ({"content-length": "3000"}, False, 0),
        ({"content-length": "3000000"}, True, 3),
        ({"transfer-encoding": "chunked"}, True, 3),
        ({"content-length": "3000000", "expect": "100-continue"}, True, 0),
        ({"content-length": "9" * 30}, True, 3),
    ],
)
def test_the_connection_of_a_large_body_that_is_not_read_is_closed(
    headers: dict[str, str], closed: bool, taken: int
) -> None:
    reply, chunks = asyncio.run(refused(headers, 3))
    assert reply.body == b"no"
    assert ("connection" in reply.headers) == closed
    assert chunks == taken


def test_a_body_that_does_not_end_is_discarded_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.http.middleware.unread_body._LINGER_SECONDS", 0.05)
    headers = {"transfer-encoding": "chunked"}
    reply, chunks = asyncio.run(asyncio.wait_for(refused(headers, 0), 5))
    assert (reply.body, chunks) == (b"no", 0)
