"""The application: ``uvicorn --factory service.app:create_app`` or ``omnivec2 serve``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from omnivec2 import __version__
from omnivec2.errors import ArtifactError
from service import errors
from service.access.priority import PRIORITY_HEADER
from service.access.strictness import STRICT_HEADER
from service.gateway import Gateway
from service.http.http_exchange import CACHE_STATUS_HEADER, TIMEOUT_HEADER
from service.http.job_submission import APPLIED_HEADER, PREFER_HEADER
from service.http.middleware.access_log import AccessLogMiddleware
from service.http.middleware.allowed_hosts import ANY, AllowedHostsMiddleware, allowed_hosts
from service.http.middleware.drain import DrainMiddleware
from service.http.middleware.head_requests import HeadMiddleware
from service.http.middleware.request_id import RequestIdMiddleware
from service.http.middleware.require_key import API_KEY_HEADER, ApiKeyMiddleware
from service.http.middleware.security_headers import SecurityHeadersMiddleware
from service.http.middleware.unread_body import UnreadBodyMiddleware
from service.http.notes_header import NOTES_HEADER
from service.http.probe_paths import PROBE_PATHS
from service.http.routes import (
    docs_page,
    embeddings,
    feedback,
    health,
    jobs,
    metrics_page,
    model_list,
    open_inference,
    prediction,
    try_page,
)
from service.jobs.job import WEBHOOK_HEADER
from service.observability.metrics_server import metrics_server
from service.oip.http_wire import HEADER_LENGTH
from service.openapi import document
from service.request_context import TRACEPARENT
from service.runtimes.base import GroupMember, Runtime
from service.settings import Settings

if TYPE_CHECKING:
    from service.jobs.job_service import JobService

_DESCRIPTION = """
Any modality, any task, one network.

`POST /predict/<modality>/<task>` takes raw bytes with a Content-Type,
JSON (`{"inputs": …, "parameters": {…}}`) or a form (`file=@…`, repeatable),
and answers in the Hugging Face task schemas. A list of inputs gets a list of answers.

`POST /predict/<modality>?tasks=<task>,<task>` answers the same inputs with several heads.

Every path may also answer 400 (the request is not HTTP/1.1, or its head is ambiguous),
421 (it is addressed to a host that is not allowed) and 431 (its head, or the trailers of its
body, are too long). HEAD is answered wherever GET is.
"""


_REQUEST_HEADERS = (
    "Authorization",
    "Cache-Control",
    "Content-Type",
    API_KEY_HEADER,
    "X-Request-ID",
    TIMEOUT_HEADER,
    PRIORITY_HEADER,
    STRICT_HEADER,
    TRACEPARENT,
    HEADER_LENGTH,
    PREFER_HEADER,
    WEBHOOK_HEADER,
)
"""Headers that a page of another origin may send."""

_RESPONSE_HEADERS = (
    "X-Request-ID",
    "X-Model",
    "X-Model-Version",
    "Server-Timing",
    NOTES_HEADER,
    PRIORITY_HEADER,
    CACHE_STATUS_HEADER,
    "Retry-After",
    "WWW-Authenticate",
    HEADER_LENGTH,
    "Location",
    APPLIED_HEADER,
)
"""Headers that a page of another origin may read."""


def create_app(
    settings: Settings | None = None,
    runtime: Runtime | None = None,
    group: GroupMember | None = None,
) -> FastAPI:
    """Build the gateway.

    Args:
        settings: The settings; read from the environment if left out.
        runtime: A runtime to use instead of the one that the settings name.
        group: The process's place among several; None if it is the only one.
    """
    gateway = Gateway(settings or Settings(), runtime, group)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        gateway.start_loading()
        try:
            async with _grpc(gateway), metrics_server(gateway):
                await gateway.join_group()
                yield
        finally:
            await gateway.close()

    # Swagger's files come from a package: /docs works where there is no internet.
    app: FastAPI = FastAPIOffline(
        docs_url=None,
        redoc_url=None,
        title="OmniVec2 Serve",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry=_telemetry(gateway),
    )
    app.state.gateway = gateway
    app.state.jobs = _make_jobs(gateway)
    _add_routes(app, gateway)
    _add_middleware(app, gateway)
    errors.install(app)

    def describe() -> dict[str, Any]:
        # Not cached: the document follows the models.
        heads = gateway.dataplane.heads
        has_keys, has_jobs = gateway.access is not None, app.state.jobs is not None
        return document.build(app, heads, keys=has_keys, jobs=has_jobs)

    app.openapi = describe  # type: ignore[method-assign]
    return app


def _add_routes(app: FastAPI, gateway: Gateway) -> None:
    """Add the routes that the settings switch on."""
    # Plain routes: nothing here needs FastAPI's dependencies, and these paths must be fast.
    for path, route in (
        (prediction.PATH, prediction.predict),
        (prediction.TASKS_PATH, prediction.predict_tasks),
    ):
        app.add_route(path, route, methods=["POST"], include_in_schema=False)
    app.add_route("/docs", docs_page.docs, methods=["GET"], include_in_schema=False)
    for router in (model_list.router, health.router, embeddings.router, open_inference.router):
        app.include_router(router)
    takes_feedback = gateway.monitor is not None and gateway.monitor.takes_feedback
    app.include_router(feedback.router, include_in_schema=takes_feedback)
    app.include_router(jobs.router, include_in_schema=app.state.jobs is not None)
    if gateway.settings.metrics_port is None:
        app.include_router(metrics_page.router)
    if gateway.settings.try_page:
        try_page.install(app)


def _make_jobs(gateway: Gateway) -> JobService | None:
    """Return the jobs of a gateway; without a store there are none, and nothing is imported."""
    if gateway.settings.jobs_store == "none":
        return None
    from service.jobs.jobs_setup import make_jobs

    jobs = make_jobs(
        gateway.settings,
        gateway.metrics,
        lambda: gateway.dataplane,
        gateway.admission,
        gateway.access,
        gateway.monitor,
    )
    gateway.attach(jobs)
    return jobs


def _telemetry(gateway: Gateway) -> TelemetryConfig:
    """Return what FastAPI records: a server span of each request if traces are on, else nothing."""
    recorder = gateway.recorder
    off: TelemetryConfig = {"metrics": False, "logs": False, "auto_configure": False}
    if recorder is None:
        return {"tracing": False, **off}
    return {
        "tracer_provider": recorder.provider,
        "operation_spans": False,
        "exclude": lambda scope: scope["path"] in PROBE_PATHS,
        **off,
    }


def _add_middleware(app: FastAPI, gateway: Gateway) -> None:
    """Add the middleware; the last one added is the outermost."""
    app.add_middleware(HeadMiddleware)
    if gateway.access is not None:
        app.add_middleware(ApiKeyMiddleware, access=gateway.access)
    app.add_middleware(DrainMiddleware, shutdown=gateway.shutdown)
    app.add_middleware(UnreadBodyMiddleware)
    if gateway.settings.cors_origins:
        # Around the keys: a browser sends its preflight request without one.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=gateway.settings.cors_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_RESPONSE_HEADERS,
        )
    if ANY not in (hosts := allowed_hosts(gateway.settings)):
        app.add_middleware(AllowedHostsMiddleware, hosts=hosts)
    app.add_middleware(SecurityHeadersMiddleware)
    if gateway.settings.access_log:
        app.add_middleware(AccessLogMiddleware)
    app.add_middleware(RequestIdMiddleware)
    if gateway.recorder is not None:
        from service.http.middleware.request_span import TracingMiddleware

        # Around the middleware that sets the headers it reads.
        app.add_middleware(TracingMiddleware, recorder=gateway.recorder)


@asynccontextmanager
async def _grpc(gateway: Gateway) -> AsyncIterator[None]:
    """Serve gRPC too if it has a port; without one, its server is not even imported."""
    if gateway.settings.grpc_port is None:
        yield
        return
    from service.oip.grpc_server import GrpcServer

    server = GrpcServer(gateway)
    try:
        await server.start()
    except ArtifactError as error:
        # Reported like models that cannot be loaded: by /readyz, and the command ends.
        gateway.failure = str(error)
    gateway.grpc_address = server.address
    try:
        yield
    finally:
        await server.close()
