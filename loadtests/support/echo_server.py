"""A server that reads a body and answers a constant, on the gateway's server with its settings.

What it takes is what HTTP costs here, whatever is served: the floor of every measurement of the
gateway::

    python -m loadtests.support.echo_server
"""

from __future__ import annotations

import asyncio
import math
import socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.server.limited_protocol import protocol_with_limits
from service.server.thread_priorities import freeze_heap, shorten_switch_interval
from service.settings import Settings

_ANSWER = b'[{"label":"positive","score":0.97},{"label":"negative","score":0.03}]'


async def _echo(request: Request) -> Response:
    await request.body()
    return Response(_ANSWER, media_type="application/json")


def main() -> None:
    """Serve on a free port of loopback, printed first, until interrupted."""
    settings = Settings()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    shorten_switch_interval()
    freeze_heap()
    config = uvicorn.Config(
        Starlette(routes=[Route("/{path:path}", _echo, methods=["POST"])]),
        log_config=None,
        access_log=False,
        server_header=False,
        http=protocol_with_limits(settings.max_header_bytes, settings.header_timeout_seconds),
        ws="none",
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
