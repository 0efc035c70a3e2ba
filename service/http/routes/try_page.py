"""``/``: the try page. It is static files, which call the public API from the browser."""

from __future__ import annotations

import gzip
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.static.vendor_libraries import PACKED

STATIC = Path(__file__).resolve().parents[2] / "static"

# Plotly and lit-html set style attributes; previews are made from the user's files.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Browsers revalidate by ETag each time, so that a new release is seen at once.
    "Cache-Control": "no-cache",
}


class _Files(StaticFiles):
    """Static files with the page's headers, also on a 304 response.

    A large library is kept compressed (``vendor_libraries.py``), and sent as it is kept.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != HTTPStatus.NOT_FOUND or not self.lookup_path(path + PACKED)[1]:
                raise
            response = await self._packed(path, scope)
        response.headers.update(_HEADERS)
        return response

    async def _packed(self, path: str, scope: Scope) -> Response:
        """Send a file as it is kept, compressed; unpacked to clients that do not take that."""
        response = await super().get_response(path + PACKED, scope)
        if "gzip" in Headers(scope=scope).get("accept-encoding", ""):
            response.headers["Content-Encoding"] = "gzip"
        elif response.status_code == HTTPStatus.OK:
            content = gzip.decompress(Path(self.lookup_path(path + PACKED)[0]).read_bytes())
            response = Response(
                content, media_type=response.media_type, headers={"ETag": response.headers["etag"]}
            )
        response.headers["Vary"] = "Accept-Encoding"
        return response


def install(app: FastAPI) -> None:
    """Serve the page at ``/``, its samples under ``/try/samples`` and its files under ``/try``.

    Args:
        app: The application that gets the routes.
    """
    files, samples = _Files(directory=STATIC / "try"), _Files(directory=STATIC / "samples")

    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    async def list_samples(request: Request) -> Response:
        return await samples.get_response("index.json", request.scope)

    app.add_route("/", page, methods=["GET"], include_in_schema=False)
    app.add_route("/try/samples", list_samples, methods=["GET"], include_in_schema=False)
    app.mount("/try/samples", samples)
    app.mount("/try", files)
