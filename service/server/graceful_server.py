"""uvicorn's server with a graceful shutdown that drops no request.

::

    SIGTERM ─ delay ──────────► listener closed ─ linger ─► idle connections closed ─► exit 0
              /readyz fails                       1 s       requests finish, drain_seconds
              └ every answer closes its connection ────────────────────────────────┘

What hangs beyond that, in native code perhaps, does not keep the process alive: 6 s after the drain
it exits with status 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
import time
from types import FrameType

import uvicorn

from service.server.shutdown import ShutdownState

_LOG = logging.getLogger(__name__)

_LINGER_SECONDS = 1.0
"""The time for which requests are answered on connections that were open when the listener
closed: their callers cannot know yet, and would see a broken connection."""

_POLL_SECONDS = 0.02

_CLOSE_SECONDS = 6.0
"""The time from the end of the drain until the process is ended, whatever it hangs in."""


class GracefulServer(uvicorn.Server):
    """Shuts down step by step after a first signal, and at once after a second.

    Args:
        config: The configuration of uvicorn.
        shutdown_state: The state that is updated at every step.
        delay_seconds: The time from the signal to the first step.
    """

    def __init__(
        self, config: uvicorn.Config, shutdown_state: ShutdownState, delay_seconds: float
    ) -> None:
        super().__init__(config)
        self._shutdown_state = shutdown_state
        self._delay_seconds = delay_seconds
        self._stop_at = float("inf")
        self._last_resort: threading.Timer | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: begin to drain at the first, exit at the second."""
        if self._shutdown_state.draining:
            self.force_exit = True
            self.should_exit = True
            return
        self._shutdown_state.draining = True
        self._stop_at = time.monotonic() + self._delay_seconds
        self._start_last_resort()
        if sig == signal.SIGINT:
            # uvicorn raises it again at the end, as the shell expects of an interrupted program.
            self._captured_signals.append(sig)

    def call_off_last_resort(self) -> None:
        """Let the process live on: the server has ended as it should."""
        if self._last_resort is not None:
            self._last_resort.cancel()

    def _start_last_resort(self) -> None:
        drain_seconds = self.config.timeout_graceful_shutdown
        if drain_seconds is None:
            return
        seconds = self._delay_seconds + _LINGER_SECONDS + drain_seconds + _CLOSE_SECONDS
        self._last_resort = threading.Timer(seconds, _end_process)
        self._last_resort.daemon = True
        self._last_resort.start()

    async def on_tick(self, counter: int) -> bool:
        """Check, ten times a second, whether to exit."""
        if time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listeners, let callers notice, and finish the requests under way."""
        self._shutdown_state.draining = True
        accepted = self._close_listeners(sockets or [])
        self._shutdown_state.listeners_closed.set()
        for connection in accepted:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        deadline = time.monotonic() + _LINGER_SECONDS
        while self.server_state.connections and time.monotonic() < deadline and not self.force_exit:
            await asyncio.sleep(_POLL_SECONDS)
        self._shutdown_state.rejecting = True
        await super().shutdown(sockets)

    def _close_listeners(self, sockets: list[socket.socket]) -> list[socket.socket]:
        """Close the listeners after accepting the connections that the system has made already.

        Those would be reset, which a caller cannot distinguish from a failure of its request.
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
        """Make the protocol of a connection that uvicorn has not accepted itself."""
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # of a subclass of asyncio.Protocol
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )


def _end_process() -> None:
    _LOG.critical("the process did not stop in its time; it is ended")
    logging.shutdown()
    os._exit(1)
