"""The parts of one answer on their way to the client: a bounded buffer of server-sent events.

::

    the request's task ── put ──► a few events ── next_event ──► the connection
      waits while it is full                       a comment if nothing comes for a while
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from pydantic_core import to_json

from service.request_context import ClientDisconnectedError, PartAnswer

_MOST_EVENTS = 8
"""The most events that wait for the client; then the windows and steps behind them wait, too."""

_STALLED_SECONDS = 10.0
"""The time in which a client must take an event from a full buffer: its request holds a place."""

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, which clients skip and proxies count as traffic."""


class EventStream:
    """The events of one answer. It is the ``PartSink`` of its request.

    Args:
        on_event: The callback for the name of each event.
        most_events: The most events that wait for the client.
    """

    def __init__(self, on_event: Callable[[str], None], most_events: int = _MOST_EVENTS) -> None:
        self._on_event = on_event
        self._most_events = most_events
        self._events: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._count = 0
        self._is_closed = False
        # (task, input) -> the parts that were given of it. A request that is answered once more, by
        # another version of its head, gives its parts from the first on.
        self._given: dict[tuple[str, int], int] = {}

    @property
    def has_events(self) -> bool:
        """Whether an event waits for the client."""
        return bool(self._events)

    @property
    def is_finished(self) -> bool:
        """Whether all events have been taken, and no more will come."""
        return self._is_closed and not self._events

    async def put(self, part: PartAnswer) -> None:
        """Add a part, unless one of its place was added; it waits as long as the buffer is full.

        Raises:
            ClientDisconnectedError: The client does not read, which is as if it were gone.
        """
        place = part.task, part.input
        if part.index < self._given.get(place, 0):
            return
        while len(self._events) >= self._most_events:
            self._taken.clear()
            try:
                async with asyncio.timeout(_STALLED_SECONDS):
                    await self._taken.wait()
            except TimeoutError as error:
                raise ClientDisconnectedError from error
        body: dict[str, object] = {"task": part.task, "input": part.input, "index": part.index}
        if part.count is not None:
            body["count"] = part.count
        self.add(part.event, to_json({**body, "answer": part.answer}, inf_nan_mode="null"))
        self._given[place] = part.index + 1

    def add(self, name: str, data: bytes) -> None:
        """Add an event, whatever waits already.

        Args:
            name: The name of the event.
            data: A JSON document in one line.
        """
        self._count += 1
        self._on_event(name)
        self._events.append(b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), self._count, data))
        self._changed.set()

    def close(self) -> None:
        """Record that no event will follow."""
        self._is_closed = True
        self._changed.set()

    async def wait(self, seconds: float) -> bool:
        """Wait until an event is there or none will follow; return whether that is so in time."""
        if not (self._events or self._is_closed):
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
        return bool(self._events) or self._is_closed

    async def next_event(self, seconds: float) -> bytes:
        """Return the next event, a comment after so many seconds without one, empty at the end."""
        if not await self.wait(seconds):
            return KEEP_ALIVE
        if not self._events:
            return b""
        event = self._events.popleft()
        self._taken.set()
        return event
