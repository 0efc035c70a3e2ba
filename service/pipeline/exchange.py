"""One request and its answer: admit it, keep its deadline, watch its client, account for it.

::

    open ─► admitted ─► (transport reads the body) ─► answer ─► account | fail
    labels,  room for    bytes count in the ticket     deadline,   metrics, once
    API key  the work                                  client gone

It is here and not in ``service.http`` because the gRPC server uses it too and must not depend on
HTTP. The transports translate: headers or messages into arguments, and the answer or the failure
into what goes over the wire (``service.http.http_exchange``, ``service.oip.grpc_server``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext
from types import TracebackType
from typing import Any, TypeVar

from omnivec2.errors import DeadlineExceededError, OmniVecError, OverloadedError
from omnivec2.spec import HeadSpec
from service.access.access_control import authorize_heads
from service.access.priority import Priority, granted_priority
from service.admission.admission_control import AdmissionControl
from service.admission.ticket import Ticket
from service.errors import status_of_failure
from service.observability.gateway_metrics import Metrics
from service.pipeline.answers import Timings
from service.request_context import REQUEST, ClientDisconnectedError, in_request, started

T = TypeVar("T")

WaitForDisconnect = Callable[[], Coroutine[Any, Any, None]]
"""Waits until the client of a request is gone."""

_WATCH_AFTER_SECONDS = 0.02
"""A request that is answered sooner has no task that waits for its client to hang up."""

UNKNOWN = ("unknown", "unknown")
"""The modality and task that a request counts for until its heads are known."""

SEVERAL_TASKS = "several"
"""The task that the bytes and stages of a request to several heads count for."""


class Exchange:
    """One request to heads, from its first line to its answer.

    Args:
        admission: The admission control of the gateway.
        metrics: The metrics that the request counts in.

    Attributes:
        priority: The class of the request, once it is admitted.
    """

    def __init__(self, admission: AdmissionControl, metrics: Metrics) -> None:
        self._admission = admission
        self._metrics = metrics
        self._started = time.perf_counter()
        self._specs: Sequence[HeadSpec] = ()
        self._labels: Sequence[tuple[str, str]] = [UNKNOWN]
        self._seconds = 0.0
        self._ticket: Ticket | None = None
        self._deadline: float | None = None
        self.priority = Priority.NORMAL

    @property
    def has_begun(self) -> bool:
        """Whether the request has been read, and the work on its answer has begun."""
        return self._deadline is not None

    @property
    def seconds_left(self) -> float:
        """The time until the deadline of the answer, at least 0; 0 before the work has begun."""
        return max(0.0, (self._deadline or 0.0) - time.monotonic())

    def open(self, specs: Sequence[HeadSpec]) -> None:
        """Count the request for its heads from now on, if its API key may use them.

        Args:
            specs: The specs of the heads; at least one.

        Raises:
            ForbiddenError: The key may not use one of them.
        """
        self._specs = specs
        self._labels = [(spec.modality.value, spec.task) for spec in specs]
        authorize_heads(specs)

    def estimate_by(self, specs: Sequence[HeadSpec]) -> None:
        """Admit the request by the costs of these heads: its own are known from its body only.

        The request is to be opened for its own heads once they are known.
        """
        self._specs = specs

    def grant_priority(self, asked_priority: str | None) -> Priority:
        """Return the class that the request gets, and keep it.

        Args:
            asked_priority: The class that the caller asks for, if it does.

        Raises:
            InvalidParameterError: There is no such class.
        """
        key = REQUEST.get().key
        self.priority = granted_priority(asked_priority, key.priority if key is not None else None)
        return self.priority

    @asynccontextmanager
    async def admitted(
        self, form: str, nbytes: int | None, seconds: float, asked_priority: str | None = None
    ) -> AsyncIterator[Ticket]:
        """Hold room for the request until the block ends; it must be open, or estimated.

        The admission control learns from the request if the block ends without a failure. Its API
        key pays for it: the estimate at first, and at the end what it took.

        Args:
            form: The form of the inputs; requests of one form have one cost model.
            nbytes: The length of the body, if it is declared.
            seconds: The time that the answer may take.
            asked_priority: The class that the caller asks for, if it does.

        Raises:
            OverloadedError: Too much work is queued already, or the key has used up its
                compute-seconds.
            InvalidParameterError: There is no such class.
        """
        priority = self.grant_priority(asked_priority)
        try:
            ticket = self._admission.admit(self._specs, form, nbytes, seconds, priority)
        except OverloadedError:
            self._metrics.observe_admission(priority.label, "refused")
            raise
        self._metrics.observe_admission(priority.label, "admitted")
        with ticket:
            self._ticket, self._seconds = ticket, seconds
            if (budget := REQUEST.get().budget) is not None:
                await budget.reserve(ticket.expected_seconds)
            is_abandoned = False
            try:
                yield ticket
                ticket.learn()
            except (asyncio.CancelledError, ClientDisconnectedError, DeadlineExceededError):
                is_abandoned = True
                raise
            finally:
                if budget is not None:
                    budget.settle(ticket.charge(is_abandoned=is_abandoned))

    def estimate_again(self, form: str) -> None:
        """Estimate the admitted request's work anew, now that its body says that it is of a form.

        Args:
            form: The form, which has a cost model of its own.
        """
        assert self._ticket is not None, "the request has not been admitted"
        self._ticket.estimate_again(self._specs, form)

    async def answer(
        self,
        call: Coroutine[Any, Any, T],
        traceparent: str = "",
        disconnected: WaitForDisconnect | None = None,
    ) -> T:
        """Return the result of the call that answers the request; it must be admitted.

        The call, and every task it starts, sees the request's deadline, trace context and work
        meter in ``service.request_context.REQUEST``.

        Args:
            call: The work on the answer; cancelled when the time is up or the client is gone.
            traceparent: The caller's trace context, if it sent one.
            disconnected: A call that waits until the client is gone; None if the transport
                cancels the task of the request by itself.

        Raises:
            DeadlineExceededError: The time that the answer may take has passed.
            ClientDisconnectedError: The client is gone.
        """
        assert self._ticket is not None, "the request has not been admitted"
        self._ticket.begin_work()
        context = started(traceparent, self._seconds, self._ticket, self.priority)
        self._deadline = context.deadline
        watch = nullcontext() if disconnected is None else _CancelOnDisconnect(disconnected)
        try:
            with in_request(context), watch:
                async with asyncio.timeout(self._seconds):
                    return await call
        except TimeoutError as error:
            raise DeadlineExceededError(f"no answer within {self._seconds:g} s") from error

    def record_notes(self, codes: Iterable[str]) -> None:
        """Count notes on the inputs, for each head of the request.

        Args:
            codes: The code of each note.
        """
        for code in codes:
            for modality, task in self._labels:
                self._metrics.observe_note(modality, task, code)

    def record_stages(self, timings: Timings) -> None:
        """Record how long the stages of the answer took."""
        self._metrics.observe_stages(*self._shared_label, timings)

    def account(self, status: int, received: int, sent: int) -> None:
        """Count the request, once it has an answer.

        Args:
            status: The HTTP status of the answer, or what it would be over HTTP.
            received: The bytes of the request's body that were read.
            sent: The bytes of the answer's body.
        """
        self._count(status)
        self._metrics.observe_bytes(*self._shared_label, received, sent)

    def fail(self, error: BaseException) -> None:
        """Count a failed request of a transport whose failures have no body."""
        if isinstance(error, OmniVecError) and error.reason:
            self._metrics.observe_rejection(error.reason)
        self._count(status_of_failure(error))

    def _count(self, status: int) -> None:
        seconds = time.perf_counter() - self._started
        for modality, task in self._labels:
            self._metrics.observe_request(modality, task, int(status), seconds)

    @property
    def _shared_label(self) -> tuple[str, str]:
        """The modality and task that bytes and stages count for: several tasks share them."""
        first = self._labels[0]
        return first if len(self._labels) == 1 else (first[0], SEVERAL_TASKS)


class _CancelOnDisconnect:
    """Cancels the task that runs its block if the client is gone first.

    Most requests are answered in less time than a task for each of them would be worth: only
    after a while does one begin to wait for the client's end.

    Args:
        disconnected: A call that waits until the client is gone.
    """

    def __init__(self, disconnected: WaitForDisconnect) -> None:
        self._disconnected = disconnected
        self._watcher: asyncio.Task[None] | None = None
        self._gone = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a request is answered in a task"
        self._task = task
        self._cancelling = task.cancelling()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_WATCH_AFTER_SECONDS, self._start_watcher)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if not self._gone:
            return
        # As in asyncio.timeout: another who wants the task cancelled must not be overruled.
        others_cancel = self._task.uncancel() > self._cancelling
        if kind is asyncio.CancelledError and not others_cancel:
            raise ClientDisconnectedError from error

    def _start_watcher(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        await self._disconnected()
        self._gone = True
        self._task.cancel()
