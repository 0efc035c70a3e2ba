"""``GET /metrics``: the metrics of the gateway."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.gateway import Gateway
from service.observability.gateway_metrics import CONTENT_TYPE

router = APIRouter(tags=["operations"])


@router.get("/metrics", summary="Prometheus metrics", response_model=None)
async def metrics(request: Request) -> Response:
    """Return traffic, latency per stage, batching and load in Prometheus' text format."""
    gateway: Gateway = request.app.state.gateway
    # Takes some ten milliseconds where many models are used: not in the event loop.
    text = await asyncio.to_thread(gateway.exposition)
    return Response(text, media_type=CONTENT_TYPE)
