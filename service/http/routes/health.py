"""Liveness of the process and readiness of the models."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from pydantic import JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import problem
from service.gateway import Gateway

router = APIRouter(tags=["operations"])


@router.get("/healthz", summary="The process is alive", response_model=None)
async def healthz() -> dict[str, str]:
    """Answer as long as the event loop runs; say nothing about the models."""
    return {"status": "alive"}


@router.get("/readyz", summary="Every required model answers", response_model=None)
async def readyz(request: Request) -> Response:
    """Answer 200 once the required models are loaded, else 503.

    Lists the models that are refused, and those that a faster engine may not run.
    """
    gateway: Gateway = request.app.state.gateway
    health = await gateway.health()
    extra: dict[str, JsonValue] = {"refused": dict(health.refused)}
    if health.slower:
        extra["slower"] = dict(health.slower)
    if gateway.access is not None:
        gateway.access.refresh()
        if gateway.access.failure:
            # No key is needed here: show neither the content of the file nor its path.
            extra["keys"] = "the file of API keys cannot be used; the previous keys stay valid"
    if not health.ready:
        return problem(
            request,
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Not ready",
            health.detail,
            headers={"Retry-After": "1"},
            extra=extra,
        )
    body = {"status": "ready", "models": len(gateway.dataplane.heads), **extra}
    return JSONResponse(body)
