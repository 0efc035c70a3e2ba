"""uvicorn's server, with a stop in which nothing is dropped.

::

    SIGTERM ─ delay ──────────► listener closed ─ linger ─► idle connections closed ─► exit 0
              /readyz says no                     1 s       requests finish, drain_seconds
              └ every answer closes its connection ────────────────────────────────┘
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from types import FrameType

import uvicorn

from service.server.shutdown import Stopping

_LOG = logging.getLogger(__name__)

_LINGER_SECONDS = 1.0
"""How long requests are answered on connections that were open when the listener closed: their
callers could not know, and would find the connection broken."""

_POLL_SECONDS = 0.02


class Server(uvicorn.Server):
    """Stops when it is told to, step by step; when it is told twice, at once.

    Args:
        config: of uvicorn.
        stopping: told of every step.
        delay_seconds: how long to go on before the first of them.
    """

    def __init__(self, config: uvicorn.Config, stopping: Stopping, delay_seconds: float) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._delay_seconds = delay_seconds
        self._stop_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: the first begins to stop, the second ends the process's patience."""
        if self._stopping.begun:
            self.force_exit = True
            self.should_exit = True
            return
        self._stopping.begun = True
        self._stop_at = time.monotonic() + self._delay_seconds
        if sig == signal.SIGINT:
            # Raised again at the end, as the shell expects of what was interrupted.
            self._captured_signals.append(sig)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end."""
        if time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to listen, let callers notice, and finish what runs."""
        self._stopping.begun = True
        accepted = self._close_listeners(sockets or [])
        self._stopping.listens_no_more.set()
        for connection in accepted:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        last = time.monotonic() + _LINGER_SECONDS
        while self.server_state.connections and time.monotonic() < last and not self.force_exit:
            await asyncio.sleep(_POLL_SECONDS)
        self._stopping.refuses = True
        await super().shutdown(sockets)

    def _close_listeners(self, sockets: list[socket.socket]) -> list[socket.socket]:
        """Close them, after taking the connections that the system has made already.

        Those would be reset, which a caller cannot tell from a failure of its request.
        """
        accepted: list[socket.socket] = []
        for listener in sockets:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    accepted.append(connection)
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        return accepted

    def _protocol(self) -> asyncio.Protocol:
        """For a connection that was not accepted by uvicorn itself."""
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
