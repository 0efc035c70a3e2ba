"""``/``: a page on which people try the models. Files only; it calls the API as anybody does."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).resolve().parents[2] / "static"

# Plotly and lit-html set style attributes; pictures and sounds are made from what was dropped.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Ask each time whether it changed (ETag): a new release is seen at once.
    "Cache-Control": "no-cache",
}


class _Files(StaticFiles):
    """Static files with the page's headers, also where the answer is 304."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def install(app: FastAPI) -> None:
    """Serve the page at ``/``, its samples under ``/try/samples`` and its parts under ``/try``."""
    parts, samples = _Files(directory=STATIC / "try"), _Files(directory=STATIC / "samples")

    async def page(request: Request) -> Response:
        return await parts.get_response("index.html", request.scope)

    async def list_samples(request: Request) -> Response:
        return await samples.get_response("index.json", request.scope)

    app.add_route("/", page, methods=["GET"], include_in_schema=False)
    app.add_route("/try/samples", list_samples, methods=["GET"], include_in_schema=False)
    app.mount("/try/samples", samples)
    app.mount("/try", parts)
