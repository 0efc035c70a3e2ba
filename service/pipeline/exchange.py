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
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Any, TypeVar

from omnivec2.errors import DeadlineExceededError, OmniVecError
from omnivec2.spec import HeadSpec
from service.access.access_control import authorize_heads
from service.admission.admission_control import AdmissionControl, Ticket
from service.errors import ClientDisconnectedError, status_of_failure
from service.observability.gateway_metrics import Metrics
from service.pipeline.answers import Timings
from service.request_context import in_request, started

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
    """

    def __init__(self, admission: AdmissionControl, metrics: Metrics) -> None:
        self._admission = admission
        self._metrics = metrics
        self._started = time.perf_counter()
        self._specs: Sequence[HeadSpec] = ()
        self._labels: Sequence[tuple[str, str]] = [UNKNOWN]
        self._seconds = 0.0
        self._ticket: Ticket | None = None

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

    @contextmanager
    def admitted(self, form: str, nbytes: int | None, seconds: float) -> Iterator[Ticket]:
        """Hold room for the request until the block ends; it must be open, or estimated.

        The admission control learns from the request if the block ends without a failure.

        Args:
            form: The form of the inputs; requests of one form have one cost model.
            nbytes: The length of the body, if it is declared.
            seconds: The time that the answer may take.

        Raises:
            OverloadedError: Too much work is queued already.
        """
        with self._admission.admit(self._specs, form, nbytes, seconds) as ticket:
            self._ticket, self._seconds = ticket, seconds
            yield ticket
            ticket.learn()

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
        watch = nullcontext() if disconnected is None else _CancelOnDisconnect(disconnected)
        try:
            with in_request(started(traceparent, self._seconds, self._ticket)), watch:
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
