"""Requests to an application that keeps answers, and what it says of them."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI

from tests.support.requests.asgi import Reply, ask

HIT, MISS = "omnivec2; hit", "omnivec2; fwd=miss; stored"


async def post(app: FastAPI, path: str, body: object, query: str = "", **headers: str) -> Reply:
    """Send a JSON document with its length, as every HTTP client does."""
    data = json.dumps(body).encode()
    named = {"content_type": "application/json", "content_length": str(len(data)), **headers}
    return await ask(app, path, data, query=query, **named)


def status_of(reply: Reply) -> str:
    """Return what an answer says of the cache; empty if nothing."""
    assert reply.status == 200, reply.body
    return reply.headers.get("cache-status", "")


async def lookups(app: FastAPI) -> dict[str, float]:
    """Return how often each outcome of a lookup was counted."""
    text = (await ask(app, "/metrics", method="GET")).body.decode()
    found: dict[str, Any] = {}
    for line in text.splitlines():
        if line.startswith("omnivec2_response_cache_lookups_total{"):
            outcome = line.partition('outcome="')[2].partition('"')[0]
            found[outcome] = found.get(outcome, 0) + float(line.rsplit(" ", 1)[1])
    return found
