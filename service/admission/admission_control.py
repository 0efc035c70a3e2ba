"""Limits on what the gateway works on at the same time; requests over them are refused with 429.

The decision needs the request line and headers alone, before the body is read:

::

    tokens(head, form, Content-Length) x seconds per token = work of the request
    work of the requests before it / drain rate            = wait of the request

A request is admitted if its wait is short enough, and if the requests to its model do not hold more
of the queue than what is left free, so that a model in great demand leaves room for the others.
Everything here runs on the event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from omnivec2.errors import InputError, ModelNotReadyError, OverloadedError
from omnivec2.spec import HeadSpec
from service.admission.arriving_bodies import ArrivingBodies, ArrivingBody
from service.admission.cost_model import CostModel, DrainRate

_ARRIVAL_SECONDS = 1.0
"""The time after which a body that has not arrived is set apart, and holds no room."""

_REFUSED_SECONDS = 1.0
"""The time constant with which refused work, which adds to ``Retry-After``, is forgotten."""

_LONGEST_RETRY_SECONDS = 30.0

_MAX_COST_MODELS = 4096
"""The number of cost models that are kept; callers may combine tasks freely."""


class AdmissionControl:
    """The requests that are worked on, the bytes they hold and the work that is left.

    Args:
        max_requests: The limit on requests that are worked on at the same time, and on those
            beside them whose bodies arrive slowly.
        max_bytes: The limit on bytes of bodies that are held at the same time.
        max_queue_seconds: The longest time that a request may wait for those before it.
        workers: The number of requests that are always admitted: they need not wait for each
            other.
        clock: A clock in seconds.

    Attributes:
        arriving: The bodies that have not arrived yet.
        requests: The number of requests that are admitted and not yet answered, without those
            whose bodies arrive slowly.
        bytes: The bytes of their bodies.
        work_seconds: The work that is left for them, in seconds of one thread.
        drain_rate: The rate at which that work is done.
    """

    def __init__(
        self,
        max_requests: int,
        max_bytes: int,
        *,
        max_queue_seconds: float = math.inf,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._max_queue_seconds = max_queue_seconds
        self._workers = workers
        self._clock = clock
        self._cost_models: dict[tuple[str, ...], CostModel] = {}
        self._work_by_model: dict[str, float] = {}
        self._refused_seconds = 0.0
        self._refused_at = self._ticked_at = clock()
        self._working = 0
        self.arriving = ArrivingBodies(max_requests)
        self._tickets: dict[ArrivingBody, Ticket] = {}
        self.requests = 0
        self.bytes = 0
        self.work_seconds = 0.0
        self.drain_rate = DrainRate(float(workers))

    def now(self) -> float:
        """Return the time of the clock, in seconds."""
        return self._clock()

    @property
    def wait_seconds(self) -> float:
        """The expected wait of a request that arrives now."""
        return self.work_seconds / self.drain_rate.value

    def admit(
        self, specs: Sequence[HeadSpec], form: str, nbytes: int | None, seconds: float
    ) -> Ticket:
        """Admit one request; the ticket holds its room within a ``with`` block.

        Args:
            specs: The specs of the heads that the request is for.
            form: The form of its inputs; requests of one form have one cost model.
            nbytes: The length of its body, if it is declared.
            seconds: The time until the request's deadline.

        Raises:
            OverloadedError: Too much work is queued already.
        """
        cost = self._cost_model(specs, form)
        tokens = cost.estimate_tokens(nbytes)
        work = tokens * cost.seconds_per_token
        model = specs[0].name
        if refusal := self._refusal(model, work, seconds):
            reason, message = refusal
            retry_after_seconds = self._retry_after(work)
            raise OverloadedError(message, retry_after_seconds=retry_after_seconds, reason=reason)
        return Ticket(self, model, cost, tokens)

    def check_requests(self) -> None:
        """Refuse a request that has not been read yet if there are too many already.

        Raises:
            OverloadedError: The limit on requests is reached.
        """
        if self._is_full():
            message = f"{self.requests:,} requests are being worked on already"
            raise OverloadedError(
                message, retry_after_seconds=self._retry_after(0.0), reason="requests"
            )

    def hold_bytes(self, count: int) -> None:
        """Account for bytes that arrived.

        Raises:
            OverloadedError: The limit on bytes of bodies is reached.
        """
        if self.bytes + count > self._max_bytes and not self._free_bytes(count):
            message = f"request bodies hold {self.bytes:,} bytes already"
            raise OverloadedError(
                message, retry_after_seconds=self._retry_after(0.0), reason="bytes"
            )
        self.bytes += count

    def _refusal(self, model: str, work: float, seconds: float) -> tuple[str, str] | None:
        """Return the label and the message of a reason to refuse a request, if there is one."""
        if self._is_full():
            return "requests", f"{self.requests:,} requests are being worked on already"
        if self.requests < self._workers:
            return None
        rate = self.drain_rate.value
        wait = self.work_seconds / rate
        # A third of the deadline: answers took up to twice as long as estimated, and the work on a
        # late answer is lost.
        longest = min(self._max_queue_seconds, seconds / 3)
        if wait > longest or wait + work / rate > seconds:
            ahead = f"a request would wait {wait:.2f} s for those before it"
            return "work", f"{ahead}, at most {longest:g} s"
        own = self._work_by_model.get(model, 0.0)
        if own > max(0.0, self._max_queue_seconds * rate - self.work_seconds):
            message = f"the requests to {model} hold as much of the queue as is left for all others"
            return "model", message
        return None

    def _is_full(self) -> bool:
        """Whether every place is taken; where places are short, slow senders are set apart."""
        if self.requests < self._max_requests:
            return False
        for body in self.arriving.overdue(self._clock()):
            self._tickets[body].set_apart()
        return self.requests >= self._max_requests

    def _free_bytes(self, count: int) -> bool:
        """Make room for bytes by giving up bodies that hold some and hardly arrive any more."""
        for body in self.arriving.stalled(self._clock()):
            self._tickets[body].give_up()
            if self.bytes + count <= self._max_bytes:
                return True
        return False

    def _retry_after(self, work: float) -> float:
        """Return the seconds until what is admitted, and what was refused lately, could be done."""
        now = self._clock()
        self._refused_seconds *= math.exp((self._refused_at - now) / _REFUSED_SECONDS)
        self._refused_seconds += work
        self._refused_at = now
        seconds = (self.work_seconds + self._refused_seconds) / self.drain_rate.value
        return min(seconds, _LONGEST_RETRY_SECONDS)

    def _cost_model(self, specs: Sequence[HeadSpec], form: str) -> CostModel:
        kind = (form, *(spec.name for spec in specs))
        if (cost := self._cost_models.get(kind)) is None:
            if len(self._cost_models) >= _MAX_COST_MODELS:
                self._cost_models.clear()
            cost = self._cost_models[kind] = CostModel(specs)
        return cost

    def _tick(self) -> None:
        """Count the time since the last call as busy if a request was worked on."""
        now = self._clock()
        if self._working:
            self.drain_rate.record_busy_time(now - self._ticked_at)
        self._ticked_at = now

    def _change_work(self, model: str, work: float) -> None:
        """Add to the work that is left, or take from it."""
        # Sums of many floats drift, and must not become negative.
        self.work_seconds = max(0.0, self.work_seconds + work)
        self._work_by_model[model] = max(0.0, self._work_by_model.get(model, 0.0) + work)

    def _start_work(self) -> None:
        self._tick()
        self._working += 1

    def _finish_work(self, seconds: float) -> None:
        self._tick()
        self.drain_rate.record_work(seconds)

    def _drop_work(self, held: float, since: float) -> None:
        """Count the work of a request that failed as done, up to its share of the time it took.

        How much of it was done is not known; without it, many requests that fail would look like
        a service that does nothing.
        """
        self._tick()
        share = (self._ticked_at - since) * self._workers / self._working
        self.drain_rate.record_work(min(held, share))

    def _leave(self, *, worked: bool, counted: bool) -> None:
        self._tick()
        self._working -= worked
        self.requests -= counted
        if self.requests == 0:
            self.work_seconds = 0.0
            self._work_by_model.clear()


class Ticket:
    """One admitted request: it releases its place, its bytes and its work at the end.

    It is the ``WorkMeter`` of the request.

    Attributes:
        arrival: The state of its body, until the work begins.
    """

    def __init__(
        self, admission: AdmissionControl, model: str, cost: CostModel, tokens: float
    ) -> None:
        self._admission = admission
        self._model = model
        self._cost = cost
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
            self._admission._tickets[slowest].give_up()

    def give_up(self) -> None:
        """Refuse the request, whose body does not arrive, and give its bytes back."""
        self._end_arrival()
        self._admission.bytes -= self._bytes
        self._bytes = 0
        self.arrival.give_up()

    def begin_work(self) -> None:
        """Record that the body has arrived and that the work on it begins."""
        self._end_arrival()
        if self.arrival.is_apart:
            # Not refused now, after all that was sent: those counted apart are limited too.
            self._admission.requests += 1
            self.arrival.is_apart = False
        self._begun = True
        self._began_at = self._admission.now()
        self._admission._start_work()
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
        self._admission._finish_work(seconds)
        self._hold()

    def learn(self) -> None:
        """Update the cost model with this request, which is answered."""
        if self._measured_tokens:
            self._cost.learn(
                self._bytes, self._measured_tokens, self._measured_seconds, self._admission.now()
            )

    def __enter__(self) -> Ticket:
        self._admission.requests += 1
        self._admission.arriving.add(self.arrival)
        self._admission._tickets[self.arrival] = self
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
            self._admission._drop_work(self._held, self._began_at)
        self._change_to(0.0)
        self._admission.bytes -= self._bytes
        self._admission._leave(worked=self._begun, counted=not self.arrival.is_apart)

    def _hold(self) -> None:
        """Hold room for the work that is left."""
        seconds = self._tokens * self._cost.seconds_per_token
        self._change_to(max(0.0, seconds - self._measured_seconds))

    def _change_to(self, work: float) -> None:
        self._admission._change_work(self._model, work - self._held)
        self._held = work

    def _end_arrival(self) -> None:
        self._cancel_arrival_timeout()
        self._admission.arriving.remove(self.arrival)
        self._admission._tickets.pop(self.arrival, None)

    def _cancel_arrival_timeout(self) -> None:
        if self._arrival_timeout is not None:
            self._arrival_timeout.cancel()
            self._arrival_timeout = None
