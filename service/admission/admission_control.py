"""Limits on what the gateway works on at the same time; requests over them are refused with 429.

The decision needs the request line and headers alone, before the body is read:

::

    tokens(head, form, Content-Length) x seconds per token = work of the request
    work of the requests before it / drain rate            = wait of the request

A request is admitted if its wait is short enough, and if the requests to its model do not hold more
of the queue than what is left free, so that a model in great demand leaves room for the others.
Less urgent requests may use a share of the queue only, so that they are refused first.
Everything here runs on the event loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from omnivec2.errors import OverloadedError
from omnivec2.spec import HeadSpec
from service.access.priority import Priority
from service.admission.arriving_bodies import ArrivingBodies, ArrivingBody
from service.admission.cost_model import CostModel, DrainRate
from service.admission.remaining_work import RemainingWork
from service.admission.ticket import Ticket

_REFUSED_SECONDS = 1.0
"""The time constant with which refused work, which adds to ``Retry-After``, is forgotten."""

_LONGEST_RETRY_SECONDS = 30.0

_QUEUE_SHARES = {Priority.HIGH: 1.0, Priority.NORMAL: 0.7, Priority.LOW: 0.4}
"""The share of the places and of the longest wait that requests of a class may find taken."""

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
        tickets: The tickets of their requests.
        requests: The number of requests that are admitted and not yet answered, without those
            whose bodies arrive slowly.
        bytes: The bytes of their bodies.
        work: The work that is left for them.
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
        self._refused_seconds = 0.0
        self._refused_at = clock()
        self.arriving = ArrivingBodies(max_requests)
        self.tickets: dict[ArrivingBody, Ticket] = {}
        self.requests = 0
        self.bytes = 0
        self.work = RemainingWork(workers, clock)

    def now(self) -> float:
        """Return the time of the clock, in seconds."""
        return self._clock()

    @property
    def work_seconds(self) -> float:
        """The work that is left, in seconds of one thread."""
        return self.work.seconds

    @property
    def drain_rate(self) -> DrainRate:
        """The rate at which work is done."""
        return self.work.drain_rate

    @property
    def wait_seconds(self) -> float:
        """The expected wait of a request that arrives now."""
        return self.work.seconds / self.work.drain_rate.value

    def admit(
        self,
        specs: Sequence[HeadSpec],
        form: str,
        nbytes: int | None,
        seconds: float,
        priority: Priority = Priority.NORMAL,
    ) -> Ticket:
        """Admit one request; the ticket holds its room within a ``with`` block.

        Args:
            specs: The specs of the heads that the request is for.
            form: The form of its inputs; requests of one form have one cost model.
            nbytes: The length of its body, if it is declared.
            seconds: The time until the request's deadline.
            priority: The class of the request.

        Raises:
            OverloadedError: Too much work is queued already.
        """
        cost = self.cost_model(specs, form)
        tokens = cost.estimate_tokens(nbytes)
        work = tokens * cost.seconds_per_token
        model = specs[0].name
        if refusal := self._refusal(model, work, seconds, _QUEUE_SHARES[priority]):
            reason, message = refusal
            retry_after_seconds = self._retry_after(work)
            raise OverloadedError(message, retry_after_seconds=retry_after_seconds, reason=reason)
        return Ticket(self, model, cost, tokens)

    def cost_model(self, specs: Sequence[HeadSpec], form: str) -> CostModel:
        """Return the cost model of a kind of request.

        Args:
            specs: The specs of the heads that requests are for.
            form: The form of their inputs.
        """
        kind = (form, *(spec.name for spec in specs))
        if (cost := self._cost_models.get(kind)) is None:
            if len(self._cost_models) >= _MAX_COST_MODELS:
                self._cost_models.clear()
            cost = self._cost_models[kind] = CostModel(specs)
        return cost

    def has_room(self, priority: Priority) -> bool:
        """Whether requests of a class leave room for work that nobody waits for."""
        share = _QUEUE_SHARES[priority]
        is_free = self.requests < self._workers
        return is_free or (
            not self._is_full(share) and self.wait_seconds <= share * self._max_queue_seconds
        )

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

    def _refusal(
        self, model: str, work: float, seconds: float, share: float
    ) -> tuple[str, str] | None:
        """Return the label and the message of a reason to refuse a request, if there is one.

        Args:
            model: The name of the head that it is for.
            work: Its work in seconds of one thread.
            seconds: The time until its deadline.
            share: The share of the queue that requests of its class may use.
        """
        if self._is_full(share):
            return "requests", f"{self.requests:,} requests are being worked on already"
        if self.requests < self._workers:
            return None
        rate = self.work.drain_rate.value
        wait = self.work.seconds / rate
        # A third of the deadline: answers took up to twice as long as estimated, and the work on a
        # late answer is lost.
        longest = share * min(self._max_queue_seconds, seconds / 3)
        if wait > longest or wait + work / rate > seconds:
            ahead = f"a request would wait {wait:.2f} s for those before it"
            return "work", f"{ahead}, at most {longest:g} s"
        own = self.work.of_model(model)
        if own > max(0.0, share * self._max_queue_seconds * rate - self.work.seconds):
            message = f"the requests to {model} hold as much of the queue as is left for all others"
            return "model", message
        return None

    def _is_full(self, share: float = 1.0) -> bool:
        """Whether a share of the places is taken; slow senders are set apart where it is."""
        places = math.ceil(share * self._max_requests)
        if self.requests < places:
            return False
        for body in self.arriving.overdue(self._clock()):
            self.tickets[body].set_apart()
        return self.requests >= places

    def _free_bytes(self, count: int) -> bool:
        """Make room for bytes by giving up bodies that hold some and hardly arrive any more."""
        for body in self.arriving.stalled(self._clock()):
            self.tickets[body].give_up()
            if self.bytes + count <= self._max_bytes:
                return True
        return False

    def _retry_after(self, work: float) -> float:
        """Return the seconds until what is admitted, and what was refused lately, could be done."""
        now = self._clock()
        self._refused_seconds *= math.exp((self._refused_at - now) / _REFUSED_SECONDS)
        self._refused_seconds += work
        self._refused_at = now
        seconds = (self.work.seconds + self._refused_seconds) / self.work.drain_rate.value
        return min(seconds, _LONGEST_RETRY_SECONDS)
