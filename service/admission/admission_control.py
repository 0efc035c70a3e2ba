"""How much the gateway takes on at the same time; what is over it is told to come back.

Decided from the head of a request alone, before its body is read:

::

    tokens(head, form, Content-Length) x seconds per token = work of the request
    work of the requests before it / drain rate            = time it would wait

A request is taken if it would wait no longer than it may, and if its model does not hold
more than what is left free, so that a model in great demand leaves room for the others.
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
from service.admission.cost_model import Cost, DrainRate

_ARRIVAL_SECONDS = 1.0
"""A body that takes longer to arrive holds no room meanwhile: a slow sender must not block."""

_REFUSED_SECONDS = 1.0
"""For so long those who were refused count when the next is told when to come back."""

_LONGEST_RETRY_SECONDS = 30.0

_MOST_KINDS = 4096
"""Kinds of requests whose costs are remembered; callers may ask any set of tasks."""


class Admission:
    """Counts requests, the bytes they hold and the work they are.

    Args:
        max_requests: requests worked on at the same time.
        max_bytes: bytes of bodies held at the same time.
        max_queue_seconds: longest that a request may have to wait for those before it.
        workers: requests that are always taken, since they need not wait for each other.
        clock: in seconds.

    Attributes:
        requests: admitted and not yet answered.
        bytes: of their bodies.
        work_seconds: left to be done for them, by one thread.
        drain: how fast that goes.
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
        self._costs: dict[tuple[str, ...], Cost] = {}
        self._by_model: dict[str, float] = {}
        self._refused = 0.0
        self._refused_at = self._ticked_at = clock()
        self._working = 0
        self.requests = 0
        self.bytes = 0
        self.work_seconds = 0.0
        self.drain = DrainRate(float(workers))

    def now(self) -> float:
        """Of the clock."""
        return self._clock()

    @property
    def wait_seconds(self) -> float:
        """How long a request that came now would wait."""
        return self.work_seconds / self.drain.value

    def enter(
        self, specs: Sequence[HeadSpec], form: str, nbytes: int | None, seconds: float
    ) -> Ticket:
        """Admit one request, for a ``with`` block.

        Args:
            specs: the heads it asks.
            form: how its inputs come; requests of one form cost alike.
            nbytes: length of its body, if it says so.
            seconds: time until nobody waits for the answer any more.

        Raises:
            OverloadedError: there is as much to do as may be.
        """
        cost = self._cost(specs, form)
        tokens = cost.tokens(nbytes)
        work = tokens * cost.seconds_per_token
        model = specs[0].name
        if refusal := self._refusal(model, work, seconds):
            reason, message = refusal
            retry_after_seconds = self._retry_after(work)
            raise OverloadedError(message, retry_after_seconds=retry_after_seconds, reason=reason)
        return Ticket(self, model, cost, tokens)

    def check(self) -> None:
        """Refuse a request of which nothing is known yet, if there is room for none.

        Raises:
            OverloadedError: there are as many requests as may be.
        """
        if self.requests >= self._max_requests:
            message = f"{self.requests:,} requests are being worked on already"
            raise OverloadedError(
                message, retry_after_seconds=self._retry_after(0.0), reason="requests"
            )

    def take(self, count: int) -> None:
        """Account for bytes that arrived.

        Raises:
            OverloadedError: bodies hold as much memory as they may.
        """
        if self.bytes + count > self._max_bytes:
            message = f"request bodies hold {self.bytes:,} bytes already"
            raise OverloadedError(
                message, retry_after_seconds=self._retry_after(0.0), reason="bytes"
            )
        self.bytes += count

    def _refusal(self, model: str, work: float, seconds: float) -> tuple[str, str] | None:
        """Why a request is refused, in a word and in words; None if it is not."""
        if self.requests >= self._max_requests:
            return "requests", f"{self.requests:,} requests are being worked on already"
        if self.requests < self._workers:
            return None
        rate = self.drain.value
        wait = self.work_seconds / rate
        # A third of the deadline: answers took up to twice as long as estimated, and a late one
        # is lost work.
        longest = min(self._max_queue_seconds, seconds / 3)
        if wait > longest or wait + work / rate > seconds:
            ahead = f"a request would wait {wait:.2f} s for those before it"
            return "work", f"{ahead}, at most {longest:g} s"
        own = self._by_model.get(model, 0.0)
        if own > max(0.0, self._max_queue_seconds * rate - self.work_seconds):
            message = f"the requests to {model} hold as much of the queue as is left for all others"
            return "model", message
        return None

    def _retry_after(self, work: float) -> float:
        """When what is admitted, and what was refused lately, could be done."""
        now = self._clock()
        self._refused *= math.exp((self._refused_at - now) / _REFUSED_SECONDS)
        self._refused += work
        self._refused_at = now
        seconds = (self.work_seconds + self._refused) / self.drain.value
        return min(seconds, _LONGEST_RETRY_SECONDS)

    def _cost(self, specs: Sequence[HeadSpec], form: str) -> Cost:
        kind = (form, *(spec.name for spec in specs))
        if (cost := self._costs.get(kind)) is None:
            if len(self._costs) >= _MOST_KINDS:
                self._costs.clear()
            cost = self._costs[kind] = Cost(specs)
        return cost

    def _tick(self) -> None:
        """Let the time since the last call count as busy if somebody worked."""
        now = self._clock()
        if self._working:
            self.drain.advance(now - self._ticked_at)
        self._ticked_at = now

    def _change(self, model: str, work: float) -> None:
        """There is more, or less, left to be done."""
        # Sums of many floats drift; what is left of nothing is nothing.
        self.work_seconds = max(0.0, self.work_seconds + work)
        self._by_model[model] = max(0.0, self._by_model.get(model, 0.0) + work)

    def _start(self) -> None:
        self._tick()
        self._working += 1

    def _spend(self, seconds: float) -> None:
        self._tick()
        self.drain.add(seconds)

    def _settle(self, held: float, since: float) -> None:
        """A request failed, nobody knows how late: count at most its share of the time it was in.

        Otherwise many that fail would look like a service that does nothing.
        """
        self._tick()
        share = (self._ticked_at - since) * self._workers / self._working
        self.drain.add(min(held, share))

    def _leave(self, *, worked: bool) -> None:
        self._tick()
        self._working -= worked
        self.requests -= 1
        if self.requests == 0:
            self.work_seconds = 0.0
            self._by_model.clear()


class Ticket:
    """One admitted request; gives back its place, its bytes and its work at the end."""

    def __init__(self, admission: Admission, model: str, cost: Cost, tokens: float) -> None:
        self._admission = admission
        self._model = model
        self._cost = cost
        self._guess = tokens
        self._tokens = tokens
        self._inputs = 1
        self._found = 0
        self._spent = 0.0
        self._held = 0.0
        self._bytes = 0
        self._late: asyncio.TimerHandle | None = None
        self._begun = False
        self._began_at = 0.0

    def take(self, count: int) -> None:
        """Account for ``count`` more bytes of this request's body; see ``Admission.take``."""
        self._admission.take(count)
        self._bytes += count

    def begin(self) -> None:
        """The body is there and the work on it begins."""
        self._stop_waiting()
        self._begun = True
        self._began_at = self._admission.now()
        self._admission._start()
        self._hold()

    def expect_inputs(self, count: int) -> None:
        """So many inputs will be prepared; each is guessed to have as many tokens."""
        self._inputs = max(1, count)
        self._tokens, self._found = self._guess, 0

    def record_tokens(self, tokens: int) -> None:
        """One more input is prepared and has so many tokens; replaces what was guessed of it."""
        self._tokens += tokens - self._guess / self._inputs
        self._found += tokens
        self._hold()

    def record_seconds(self, seconds: float) -> None:
        """So much of the work is done."""
        self._spent += seconds
        self._admission._spend(seconds)
        self._hold()

    def succeed(self) -> None:
        """The request is answered: learn from it."""
        if self._found:
            self._cost.learn(self._bytes, self._found, self._spent, self._admission.now())

    def __enter__(self) -> Ticket:
        self._admission.requests += 1
        self._hold()
        self._late = asyncio.get_running_loop().call_later(_ARRIVAL_SECONDS, self._change_to, 0.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop_waiting()
        if self._begun and isinstance(error, (InputError, ModelNotReadyError)):
            # It took its turn, however far it came: what it held is no more to be done.
            self._admission._settle(self._held, self._began_at)
        self._change_to(0.0)
        self._admission.bytes -= self._bytes
        self._admission._leave(worked=self._begun)

    def _hold(self) -> None:
        """Hold room for what is left to be done."""
        self._change_to(max(0.0, self._tokens * self._cost.seconds_per_token - self._spent))

    def _change_to(self, work: float) -> None:
        self._admission._change(self._model, work - self._held)
        self._held = work

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
