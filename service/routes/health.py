"""Is the process alive, and are the models there."""

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
    """Answers as long as the event loop turns; says nothing about the models."""
    return {"status": "alive"}


@router.get("/readyz", summary="Every required model answers", response_model=None)
async def readyz(request: Request) -> Response:
    """200 once the required models are loaded, else 503; lists the refused models."""
    gateway: Gateway = request.app.state.gateway
    health = await gateway.health()
    refused: JsonValue = dict(health.refused)
    if not health.ready:
        return problem(
            request,
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Not ready",
            health.detail,
            headers={"Retry-After": "1"},
            extra={"refused": refused},
        )
    body = {"status": "ready", "models": len(gateway.dataplane.heads), "refused": refused}
    return JSONResponse(body)
