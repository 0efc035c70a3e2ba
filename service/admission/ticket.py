"""One admitted request: the place, the bytes and the work that it holds until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from omnivec2.errors import InputError, ModelNotReadyError
from omnivec2.spec import HeadSpec
from service.admission.arriving_bodies import ArrivingBodies, ArrivingBody
from service.admission.cost_model import CostModel
from service.admission.remaining_work import RemainingWork

_ARRIVAL_SECONDS = 1.0
"""The time after which a body that has not arrived is set apart, and holds no room."""


class HeldRoom(Protocol):
    """What all tickets hold together: the side of ``AdmissionControl`` that a ticket sees.

    Its attributes are described there.
    """

    arriving: ArrivingBodies
    tickets: dict[ArrivingBody, Ticket]
    requests: int
    bytes: int
    work: RemainingWork

    def now(self) -> float:
        """Return the time of the clock, in seconds."""

    def hold_bytes(self, count: int) -> None:
        """Account for bytes that arrived."""

    def cost_model(self, specs: Sequence[HeadSpec], form: str) -> CostModel:
        """Return the cost model of a kind of request."""


class Ticket:
    """One admitted request: it releases its place, its bytes and its work at the end.

    It is the ``WorkMeter`` of the request.

    Attributes:
        expected_seconds: The work that it was expected to be when it was admitted.
        arrival: The state of its body, until the work begins.
    """

    def __init__(self, admission: HeldRoom, model: str, cost: CostModel, tokens: float) -> None:
        self._admission = admission
        self._model = model
        self._cost = cost
        self.expected_seconds = tokens * cost.seconds_per_token
        self._estimate = tokens
        self._tokens = tokens
        self._inputs = 1
        self._measured_tokens = 0
        self._measured_seconds = 0.0
        self._held = 0.0
        self._bytes = 0
        self.arrival = ArrivingBody(admission.now())
        self._arrival_timeout: asyncio.TimerHandle | None = None
        self._begun = False
        self._began_at = 0.0

    def hold_bytes(self, count: int) -> None:
        """Account for more bytes of this request's body; see ``AdmissionControl.hold_bytes``."""
        self._admission.hold_bytes(count)
        self._bytes += count
        self.arrival.record_bytes(count, self._admission.now())

    def set_apart(self) -> None:
        """Give back the place and the room of a request whose body arrives slowly."""
        self._cancel_arrival_timeout()
        self._change_to(0.0)
        self._admission.requests -= 1
        slowest = self._admission.arriving.set_apart(self.arrival, self._admission.now())
        if slowest is not None:
            self._admission.tickets[slowest].give_up()

    def give_up(self) -> None:
        """Refuse the request, whose body does not arrive, and give its bytes back."""
        self._end_arrival()
        self._admission.bytes -= self._bytes
        self._bytes = 0
        self.arrival.give_up()

    def estimate_again(self, specs: Sequence[HeadSpec], form: str) -> None:
        """Estimate the work as that of another form; its body has arrived and told.

        Args:
            specs: The specs of the heads that the request is for.
            form: The form.
        """
        self._cost = self._admission.cost_model(specs, form)
        self._estimate = self._tokens = self._cost.estimate_tokens(self._bytes)
        self.expected_seconds = self._tokens * self._cost.seconds_per_token
        self._hold()

    def begin_work(self) -> None:
        """Record that the body has arrived and that the work on it begins."""
        self._end_arrival()
        if self.arrival.is_apart:
            # Not refused now, after all that was sent: those counted apart are limited too.
            self._admission.requests += 1
            self.arrival.is_apart = False
        self._begun = True
        self._began_at = self._admission.now()
        self._admission.work.begin_request()
        self._hold()

    def expect_inputs(self, count: int) -> None:
        """Record how many inputs will be prepared; each is estimated to have as many tokens."""
        self._inputs = max(1, count)
        self._tokens, self._measured_tokens = self._estimate, 0

    def record_tokens(self, tokens: int) -> None:
        """Replace the estimate for one more input by its tokens, now that it is prepared."""
        self._tokens += tokens - self._estimate / self._inputs
        self._measured_tokens += tokens
        self._hold()

    def record_seconds(self, seconds: float) -> None:
        """Add work that has been done, in seconds of one thread."""
        self._measured_seconds += seconds
        self._admission.work.finish(seconds)
        self._hold()

    def learn(self) -> None:
        """Update the cost model with this request, which is answered."""
        if self._measured_tokens:
            self._cost.learn(
                self._bytes, self._measured_tokens, self._measured_seconds, self._admission.now()
            )

    def charge(self, *, is_abandoned: bool) -> float:
        """Return the work that the request is charged for, in seconds of one thread.

        Args:
            is_abandoned: Whether nobody waited for its answer to the end. What threads and servers
                were doing then is not measured, so that the estimate counts if it is more.
        """
        if is_abandoned and self._begun:
            return max(self._measured_seconds, self.expected_seconds)
        return self._measured_seconds

    def __enter__(self) -> Ticket:
        self._admission.requests += 1
        self._admission.arriving.add(self.arrival)
        self._admission.tickets[self.arrival] = self
        self._hold()
        self._arrival_timeout = asyncio.get_running_loop().call_later(
            _ARRIVAL_SECONDS, self.set_apart
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_arrival()
        if self._begun and isinstance(error, (InputError, ModelNotReadyError)):
            # However far it came, what it held need not be done any more.
            self._admission.work.drop(self._held, self._began_at)
        self._change_to(0.0)
        self._admission.bytes -= self._bytes
        self._admission.work.end_request(begun=self._begun)
        self._admission.requests -= not self.arrival.is_apart
        if self._admission.requests == 0:
            self._admission.work.clear()

    def _hold(self) -> None:
        """Hold room for the work that is left."""
        seconds = self._tokens * self._cost.seconds_per_token
        self._change_to(max(0.0, seconds - self._measured_seconds))

    def _change_to(self, work: float) -> None:
        self._admission.work.change(self._model, work - self._held)
        self._held = work

    def _end_arrival(self) -> None:
        self._cancel_arrival_timeout()
        self._admission.arriving.remove(self.arrival)
        self._admission.tickets.pop(self.arrival, None)

    def _cancel_arrival_timeout(self) -> None:
        if self._arrival_timeout is not None:
            self._arrival_timeout.cancel()
            self._arrival_timeout = None
