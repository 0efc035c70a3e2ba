from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from service.access.api_keys import create_key
from service.http.middleware.unread_body import UnreadBodyMiddleware
from tests.support.requests.asgi import ROUTE, SENTIMENT, Reply, ask, run
from tests.support.service_parts.service_fakes import FakeRuntime

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
