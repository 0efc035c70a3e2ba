"""How far the process is on its way out."""

from __future__ import annotations

import asyncio


class Stopping:
    """Set step by step, never back.

    Attributes:
        begun: readiness says no, connections are not kept; requests are answered.
        listens_no_more: set once no new connection is taken; what listens elsewhere closes too.
        refuses: a request that begins now is refused; those that run are finished.
    """

    def __init__(self) -> None:
        self.begun = False
        self.listens_no_more = asyncio.Event()
        self.refuses = False
