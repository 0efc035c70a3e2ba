"""``/metrics`` on a port of its own, which callers of the service need not reach."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import start_http_server

from service.gateway import Gateway
from service.server.addresses import url_host

_LOG = logging.getLogger(__name__)


@asynccontextmanager
async def metrics_server(gateway: Gateway) -> AsyncIterator[None]:
    """Serve the metrics beside the application, if they have a port.

    The server runs in a thread, so that it answers also while the event loop is blocked, which
    is when metrics matter most. A port that is taken is reported like a failed loading.
    """
    settings = gateway.settings
    # Of several processes the first serves the metrics of all of them.
    if settings.metrics_port is None or gateway.place > 0:
        yield
        return
    host = settings.metrics_host or settings.host
    try:
        server, thread = start_http_server(settings.metrics_port, host, gateway.registry)
    except OSError as error:
        gateway.failure = (
            f"cannot listen on {host}:{settings.metrics_port} for metrics ({error.strerror}); "
            "choose another with OMNIVEC2_METRICS_PORT"
        )
        yield
        return
    gateway.metrics_address = f"http://{url_host(host)}:{server.server_port}/metrics"
    _LOG.info("metrics at %s", gateway.metrics_address)
    try:
        yield
    finally:
        # Waits for the serving thread's next turn, half a second at most.
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)
