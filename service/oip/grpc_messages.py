"""The message of a gRPC call, read only once its caller is known; few are read at the same time.

gRPC tells nobody how long a message is before all of it is in memory, so what bounds the memory is
the number of messages that are on their way. Who sends slowly must not keep the others out: where
places are short, such messages are set apart, and of too many of these the oldest is given up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from omnivec2.errors import DeadlineExceededError, InvalidInputError, OverloadedError
from service.admission.arriving_bodies import ArrivingBodies, ArrivingBody

_POLL_SECONDS = 0.005
"""The time between two looks for a place. Most messages have arrived before they are asked for."""


class MessageReader:
    """Reads messages of calls.

    Args:
        places: The number of messages that may be on their way at the same time, and of those
            beside them that are slow.
        seconds: The time in which a message must arrive.
    """

    def __init__(self, places: int, seconds: float) -> None:
        self._places = places
        self._seconds = seconds
        self._arriving = ArrivingBodies(places)

    async def read(self, messages: AsyncIterator[bytes]) -> bytes:
        """Return the one message of a call.

        Raises:
            OverloadedError: It arrives slowly while others wait.
            DeadlineExceededError: It did not arrive in time.
            InvalidInputError: The caller ended the call without a message.
        """
        body = ArrivingBody(time.monotonic())
        try:
            async with asyncio.timeout(self._seconds) as timer:
                while self._arriving.fresh >= self._places:
                    self._make_room()
                    await asyncio.sleep(_POLL_SECONDS)
                body.since = time.monotonic()
                self._arriving.add(body)
                body.on_give_up = lambda: timer.reschedule(0.0)
                return await anext(messages)
        except TimeoutError as error:
            if body.is_given_up:
                message = "the message arrives too slowly while others wait"
                raise OverloadedError(message, reason="slow") from error
            late = f"the message did not arrive within {self._seconds:g} s"
            raise DeadlineExceededError(late) from error
        except StopAsyncIteration as error:
            raise InvalidInputError("expected a message", field="body") from error
        finally:
            self._arriving.remove(body)

    def _make_room(self) -> None:
        now = time.monotonic()
        for body in self._arriving.overdue(now):
            slowest = self._arriving.set_apart(body, now)
            if slowest is not None:
                self._arriving.remove(slowest)
                slowest.give_up()
