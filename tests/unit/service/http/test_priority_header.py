"""The priority class of a request, from its header and key to the answer and the metrics."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from service.access.api_keys import create_key
from tests.support.requests.asgi import ROUTE, ask, run


def test_an_answer_names_the_class_that_its_request_asked_for() -> None:
    async def test(app: FastAPI) -> None:
        assert "x-priority" not in (await ask(app, ROUTE)).headers
        assert (await ask(app, ROUTE, x_priority="low")).headers["x-priority"] == "low"
        counts = app.state.gateway.metrics.exposition().decode()
        assert 'omnivec2_admissions_total{outcome="admitted",priority="low"} 1.0' in counts
        assert 'omnivec2_admissions_total{outcome="admitted",priority="normal"} 1.0' in counts

    run(test)


def test_an_unknown_class_is_refused() -> None:
    async def test(app: FastAPI) -> None:
        reply = await ask(app, ROUTE, x_priority="urgent")
        assert reply.status == 422
        assert reply.json["known"] == ["high", "normal", "low"]
        assert reply.json["field"] == "X-Priority"

    run(test)


def test_a_key_caps_the_class(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    plain, urgent = create_key(path, "plain"), create_key(path, "urgent", priority="high")

    async def test(app: FastAPI) -> None:
        for key, granted in ((plain, "normal"), (urgent, "high")):
            reply = await ask(app, ROUTE, x_priority="high", x_api_key=key)
            assert reply.headers["x-priority"] == granted

    run(test, api_keys_file=path)
