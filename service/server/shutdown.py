"""The state of the process's shutdown."""

from __future__ import annotations

import asyncio


class ShutdownState:
    """The steps of a shutdown, in their order; none is ever taken back.

    Attributes:
        draining: Whether readiness checks fail and connections are not kept alive. Requests
            are still answered.
        listeners_closed: An event that is set once no new connection is accepted; other
            listeners of the process close then too.
        rejecting: Whether new requests are rejected; those under way are finished.
    """

    def __init__(self) -> None:
        self.draining = False
        self.listeners_closed = asyncio.Event()
        self.rejecting = False
