from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI

from omnivec2.errors import ArtifactError, UnauthenticatedError
from service.access.access_control import AccessControl
from service.access.api_keys import create_key, revoke_key
from service.access.key_limits import KeyLimits
from service.access.key_usage import KeyUsage
from service.app import create_app
from service.observability.gateway_metrics import Metrics
from service.observability.key_metrics import usage_of_exposition
from service.settings import Settings
from tests.support.requests.asgi import ROUTE, SENTIMENT, ask, run
from tests.support.service_parts.service_fakes import FakeRuntime


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def let_keys_be_checked(app: FastAPI) -> None:
    """Make the next request check the file, as after the time between two checks."""
    app.state.gateway.access._checked_at -= 60


def test_without_a_key_nothing_is_answered_but_health_and_pages(path: Path) -> None:
    create_key(path, "alice")

    async def test(app: FastAPI) -> None:
        for closed, method in (
            (ROUTE, "POST"),
            ("/predict/text", "POST"),
            ("/models", "GET"),
            ("/metrics", "GET"),
            ("/openapi.json", "GET"),
            ("/v2", "GET"),
            ("/v2/models/text_sentiment/infer", "POST"),
            ("/nonsense", "GET"),
            ("/healthz/", "GET"),
            ("//healthz", "GET"),
        ):
            reply = await ask(app, closed, method=method)
            assert reply.status == 401, closed
            assert reply.headers["www-authenticate"] == 'Bearer realm="omnivec2"'
            assert reply.headers["content-type"] == "application/problem+json"
            assert "API key" in reply.json["error"]
            assert reply.headers["x-request-id"]
        for open_path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/docs"):
            assert (await ask(app, open_path, method="GET")).status == 200, open_path

    run(test, api_keys_file=path)


def test_a_key_is_taken_as_hugging_face_clients_send_it_or_in_a_header_of_its_own(
    path: Path,
) -> None:
    key = create_key(path, "alice")

    async def test(app: FastAPI) -> None:
        for headers in (
            {"Authorization": f"Bearer {key}"},
            {"Authorization": f"bearer  {key} "},
            {"X_API_Key": key},
            {"Authorization": "Basic eDp5", "X_API_Key": key},
        ):
            assert (await ask(app, ROUTE, **headers)).status == 200

    run(test, api_keys_file=path)


@pytest.mark.parametrize("value", ["Bearer wrong", "Bearer \udcff", "Bearer ", "wrong", "Basic x"])
def test_an_unknown_key_is_refused(path: Path, value: str) -> None:
    create_key(path, "alice")
    access = AccessControl(path, KeyLimits(KeyUsage(Metrics().keys)))
    with pytest.raises(UnauthenticatedError):
        access.authenticate(value, "")


def test_a_wrong_key_is_named_as_the_reason(path: Path) -> None:
    create_key(path, "alice")

    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, X_API_Key="wrong")
        assert reply.headers["www-authenticate"].endswith('error="invalid_token"')
        assert "wrong" not in reply.json["error"]

    run(test, api_keys_file=path)


def test_an_expired_key_is_refused(path: Path) -> None:
    now = datetime.now(UTC)
    old = create_key(path, "old", expires=now - timedelta(seconds=1))
    new = create_key(path, "new", expires=now + timedelta(hours=1))

    async def test(app: FastAPI) -> None:
        assert (await ask(app, ROUTE, X_API_Key=old)).status == 401
        assert (await ask(app, ROUTE, X_API_Key=new)).status == 200

    run(test, api_keys_file=path)


def test_a_key_may_be_for_some_heads_only(path: Path) -> None:
    other = create_key(path, "other", heads=("image/classification",))
    limited = create_key(path, "limited", heads=("text/sentiment",))

    async def test(app: FastAPI) -> None:
        for route, query in (
            (ROUTE, ""),
            ("/predict/text", "tasks=sentiment"),
            ("/v2/models/text_sentiment/infer", ""),
        ):
            reply = await ask(app, route, query=query, X_API_Key=other)
            assert reply.status == 403
            assert "text/sentiment" in reply.json["error"]
        assert (await ask(app, ROUTE, X_API_Key=limited)).status == 200

    run(test, api_keys_file=path)


def test_a_rate_is_limited_with_a_retry_after(path: Path) -> None:
    key = create_key(path, "alice", requests_per_second=0.5, burst=2)
    free = create_key(path, "bob")

    async def test(app: FastAPI) -> None:
        replies = [await ask(app, ROUTE, X_API_Key=key) for _ in range(3)]
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert replies[2].headers["retry-after"] == "2"
        assert (await ask(app, ROUTE, X_API_Key=free)).status == 200
        app.state.gateway.access.limits._uses["alice"].requests._filled_at -= 2
        assert (await ask(app, ROUTE, X_API_Key=key)).status == 200

    run(test, api_keys_file=path)


def test_requests_at_the_same_time_are_limited_per_key(path: Path) -> None:
    key = create_key(path, "alice", max_concurrent=1)
    free = create_key(path, "bob")

    async def test(app: FastAPI) -> None:
        together = [ask(app, ROUTE, X_API_Key=k) for k in (key, key, free)]
        assert [reply.status for reply in await asyncio.gather(*together)] == [200, 429, 200]
        assert (await ask(app, ROUTE, X_API_Key=key)).status == 200

    run(test, FakeRuntime(SENTIMENT, delay_seconds=0.2), api_keys_file=path)


def test_a_changed_file_is_read_without_a_restart(path: Path) -> None:
    old = create_key(path, "old")

    async def test(app: FastAPI) -> None:
        new = create_key(path, "new")
        assert (await ask(app, ROUTE, X_API_Key=new)).status == 401
        let_keys_be_checked(app)
        assert (await ask(app, ROUTE, X_API_Key=new)).status == 200
        revoke_key(path, "old")
        let_keys_be_checked(app)
        assert (await ask(app, ROUTE, X_API_Key=old)).status == 401

    run(test, api_keys_file=path)


@pytest.mark.parametrize("broken", ["{", None])
def test_a_file_that_breaks_leaves_the_keys_as_they_were(path: Path, broken: str | None) -> None:
    key = create_key(path, "alice")
    before = path.read_text()

    async def test(app: FastAPI) -> None:
        if broken is None:
            os.remove(path)
        else:
            path.write_text(broken)
        let_keys_be_checked(app)
        ready = await ask(app, "/readyz", method="GET")
        assert ready.status == 200
        assert "keys" in ready.json["keys"]
        assert str(path) not in ready.body.decode()
        assert (await ask(app, ROUTE, X_API_Key=key)).status == 200
        path.write_text(before)
        let_keys_be_checked(app)
        assert "keys" not in (await ask(app, "/readyz", method="GET")).json

    run(test, api_keys_file=path)


def test_a_key_that_is_revoked_while_it_is_used_ends_in_order(path: Path) -> None:
    key = create_key(path, "alice", max_concurrent=1)

    async def test(app: FastAPI) -> None:
        under_way = asyncio.create_task(ask(app, ROUTE, X_API_Key=key))
        await asyncio.sleep(0.05)
        revoke_key(path, "alice")
        let_keys_be_checked(app)
        assert (await ask(app, ROUTE, X_API_Key=key)).status == 401
        assert (await under_way).status == 200

    run(test, FakeRuntime(SENTIMENT, delay_seconds=0.3), api_keys_file=path)


def test_a_service_does_not_start_without_its_file_of_keys(path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        create_app(Settings(api_keys_file=path), FakeRuntime(SENTIMENT))


def test_the_openapi_document_says_where_keys_are_required(path: Path) -> None:
    key = create_key(path, "alice")

    async def test(app: FastAPI) -> None:
        document = (await ask(app, "/openapi.json", method="GET", X_API_Key=key)).json
        assert set(document["components"]["securitySchemes"]) == {"bearer", "key"}
        operation = document["paths"][ROUTE]["post"]
        assert operation["security"] == [{"bearer": []}, {"key": []}]
        assert {"401", "403", "429"} <= operation["responses"].keys()
        assert "security" not in document["paths"]["/healthz"]["get"]

    run(test, api_keys_file=path)


def test_without_keys_a_token_is_ignored_and_the_document_requires_none() -> None:
    async def test(app: FastAPI) -> None:
        assert (await ask(app, ROUTE, Authorization="Bearer hf_x")).status == 200
        document = (await ask(app, "/openapi.json", method="GET")).json
        assert "securitySchemes" not in document["components"]
        assert "401" not in document["paths"][ROUTE]["post"]["responses"]

    run(test)


def test_what_a_key_uses_is_counted_and_its_compute_seconds_are_limited(path: Path) -> None:
    key = create_key(path, "alice", compute_seconds_per_minute=1e-6, compute_burst_seconds=1e-9)

    async def test(app: FastAPI) -> None:
        # A full bucket lets in what costs more than it holds, and has to be filled again.
        reply = await ask(app, ROUTE, X_API_Key=key)
        assert reply.status == 200
        refused = await ask(app, ROUTE, X_API_Key=key)
        assert refused.status == 429
        assert "compute-seconds per minute" in refused.json["error"]
        assert int(refused.headers["retry-after"]) > 1
        used = usage_of_exposition(app.state.gateway.exposition().decode())["alice"]
        assert (used["requests"], used["refused"]) == (2, 1)
        assert used["received_bytes"] == len(b"good")
        assert used["sent_bytes"] == len(reply.body) + len(refused.body)
        assert used["compute_seconds"] > 0
        assert app.state.gateway.admission.requests == 0

    run(test, api_keys_file=path)


def test_a_client_that_goes_away_is_charged_what_was_expected(path: Path) -> None:
    key = create_key(path, "alice")

    async def test(app: FastAPI) -> None:
        await ask(app, ROUTE, leaves=True, X_API_Key=key)
        used = usage_of_exposition(app.state.gateway.exposition().decode())["alice"]
        # The first estimate of a head that has not answered yet.
        assert used["compute_seconds"] >= 1e-4

    run(test, FakeRuntime(SENTIMENT, delay_seconds=5), api_keys_file=path)
