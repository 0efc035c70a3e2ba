"""Requests to a head with a canary: who answers, who is compared, and when the canary ends.

::

    request ─► hash of key or id ─┬─ share ─► candidate ── fails ─┐
                                  └─ others ─► served version ◄───┘
                                                    │ --shadow, after the answer
                                                    └─► candidate, compared

A request that the candidate cannot answer is answered by the served version: no caller sees the
failure, and only one that the served version does not share counts against the candidate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import TypeVar, cast

from pydantic import JsonValue

from omnivec2.canary.canary_state import Canary, read_canaries
from omnivec2.errors import DeadlineExceededError, OmniVecError, OverloadedError, StaleModelError
from omnivec2.spec import HeadSpec
from service.access.priority import Priority
from service.canary.comparison import Comparison, compare_answers
from service.canary.heads_request import AnswerByServed, HeadsRequest
from service.canary.rollback_record import RollbackRecord
from service.canary.running_canary import RunningCanary, with_candidates
from service.canary.shadow_runs import ShadowRuns
from service.canary.version_monitor import Verdict
from service.observability.canary_metrics import CanaryMetrics
from service.pipeline.answers import RequestNotes, Timings
from service.pipeline.explanations.explainer import plain_answer
from service.pipeline.heads.served_heads import ServedHeads
from service.pipeline.host_stages import Head
from service.request_context import (
    REQUEST,
    ClientDisconnectedError,
    RequestContext,
    in_request,
)

_LOG = logging.getLogger(__name__)

R = TypeVar("R")

_SHADOW_SECONDS = 30.0
"""The longest time that a candidate may take for a request that is answered already."""
_SHARE_OF_TIME = 0.5
"""The share of a request's time after which the served version answers instead of the candidate."""
_SHOWN_CHANGES = 5


class CanaryRouter:
    """Sends requests to the versions of heads that have a canary.

    Args:
        repository: The model repository, which has the state of its canaries; it may be
            read-only.
        metrics: The metrics of canaries.
        has_spare_time: Whether the gateway can run more than it is asked for.

    Attributes:
        running: The canaries that get requests, by the routes of their heads; replaced, never
            changed. While it is empty, requests do not come here.
        known: All canaries of the repository, also those that have ended.
    """

    def __init__(
        self, repository: Path, metrics: CanaryMetrics, has_spare_time: Callable[[], bool]
    ) -> None:
        self._repository = repository
        self._metrics = metrics
        self._shadows = ShadowRuns(has_spare_time)
        self.running: Mapping[str, RunningCanary] = {}
        self.known: Mapping[str, Canary] = {}
        self._rollbacks = RollbackRecord(repository)
        self._without_state: set[str] = set()

    @property
    def unrecorded(self) -> int:
        """The canaries that ended here although the repository does not say so yet."""
        return self._rollbacks.unrecorded

    async def refresh(self, served: ServedHeads) -> None:
        """Read the state of the repository's canaries again, and run those that can.

        Args:
            served: The heads of the runtime's models.
        """
        known = await asyncio.to_thread(read_canaries, self._repository)
        await self._rollbacks.retry()
        self.known = {route: self._rollbacks.known_end(canary) for route, canary in known.items()}
        self._warn_without_state(served.candidates.keys() - known.keys())
        running: dict[str, RunningCanary] = {}
        for route, canary in self.known.items():
            candidate = served.candidates.get(route)
            if candidate is None or not canary.is_running or route not in served.by_name:
                continue
            if candidate.model.version != str(canary.version):
                continue
            present = self.running.get(route)
            if present is None or present.canary != canary or present.candidate is not candidate:
                present = RunningCanary(canary, candidate)
                shadow = ", and runs for others to be compared" if canary.shadow else ""
                _LOG.info(
                    "%s: version %s answers %g %% of the callers%s",
                    *(route, canary.version, canary.share, shadow),
                )
            running[route] = present
        for route in self.running.keys() - running.keys():
            _LOG.info(
                "%s: version %s gets no requests any more", route, self.running[route].version
            )
        self.running = running

    async def answer(
        self, request: HeadsRequest[R], by_served: AnswerByServed[R]
    ) -> tuple[Sequence[Head], list[R]]:
        """Answer a request with the versions that its caller gets.

        Args:
            request: The request.
            by_served: A call that answers it with the heads that are served.

        Returns:
            The heads that answered, and their results.
        """
        routes = [head.spec.route for head in request.heads]
        canaries = {route: self.running[route] for route in routes if route in self.running}
        context = REQUEST.get()
        chosen = {route: c for route, c in canaries.items() if c.takes(context)}
        failure: Exception | None = None
        if chosen:
            try:
                return await self._by_candidates(request, chosen)
            except (OverloadedError, ClientDisconnectedError):
                raise
            except Exception as error:
                # Whatever a new version raises, the served one answers: it is what callers rely on.
                failure = error
        before = _own_seconds(request.timings)
        heads, results = await by_served()
        if failure is not None:
            self._record_failure(chosen, failure, "live")
        if len(routes) == 1:
            for route, canary in canaries.items():
                seconds = (_own_seconds(request.timings) - before) / request.inputs
                canary.monitor.record_served(seconds)
                self._metrics.observe_seconds(route, heads[0].model.version, seconds)
                self._metrics.count_answer(route, heads[0].model.version, "live", "answered")
        shadowed = {r: c for r, c in canaries.items() if c.canary.shadow and r not in chosen}
        if shadowed and request.is_comparable:
            self._submit_shadow(request, shadowed, heads, results, context)
        return heads, results

    def describe(self, route: str) -> dict[str, JsonValue] | None:
        """Return the canary of a head as ``/models`` shows it; None if it has none."""
        if (canary := self.known.get(route)) is None:
            return None
        shown: dict[str, JsonValue] = canary.model_dump(mode="json", exclude={"route"})
        shown["version"] = str(canary.version)
        shown["loaded"] = route in self.running
        if (running := self.running.get(route)) is not None and running.monitor.changes:
            shown["label_changes"] = [
                {"served": old, "candidate": new, "count": count}
                for (old, new), count in running.monitor.changes.most_common(_SHOWN_CHANGES)
            ]
        return shown

    async def close(self) -> None:
        """Stop running candidates, and finish what is being recorded."""
        self.running = {}
        await self._shadows.close()
        await self._rollbacks.close()

    def _warn_without_state(self, routes: Set[str]) -> None:
        """Log once which candidates are loaded, but not known to the repository."""
        for route in sorted(routes - self._without_state):
            _LOG.warning(
                "%s: a new version is loaded, but gets no requests: %s does not have its share and "
                "limits; OMNIVEC2_MODEL_REPO must name the repository it was added to",
                *(route, self._repository),
            )
        self._without_state = set(routes)

    async def _by_candidates(
        self, request: HeadsRequest[R], chosen: Mapping[str, RunningCanary]
    ) -> tuple[Sequence[Head], list[R]]:
        heads = with_candidates(request.heads, chosen)
        left = REQUEST.get().seconds_left
        before = _own_seconds(request.timings)
        try:
            async with asyncio.timeout(None if left == float("inf") else _SHARE_OF_TIME * left):
                results = await request.attempt(heads, request.timings, request.notes)
        except TimeoutError as error:
            raise DeadlineExceededError(
                f"no answer within {_SHARE_OF_TIME * left:.3g} s, half of the request's time"
            ) from error
        seconds = (_own_seconds(request.timings) - before) / request.inputs
        self._record_answer(chosen, seconds if len(heads) == 1 else None, "live")
        return heads, results

    def _submit_shadow(
        self,
        request: HeadsRequest[R],
        shadowed: Mapping[str, RunningCanary],
        served: Sequence[Head],
        results: Sequence[R],
        context: RequestContext,
    ) -> None:
        """Let candidates run a request that is answered, and compare, when there is time."""

        def on_dropped(reason: str) -> None:
            for route, canary in shadowed.items():
                self._metrics.count_dropped(route, canary.version, reason)

        async def run() -> None:
            # Neither the trace, the limits nor the deadline of the caller are concerned.
            deadline = time.monotonic() + _SHADOW_SECONDS
            own = RequestContext(context.request_id, deadline=deadline, priority=Priority.LOW)
            heads, timings = with_candidates(served, shadowed), Timings()
            with in_request(own):
                try:
                    async with asyncio.timeout(_SHADOW_SECONDS):
                        answers = await request.attempt(heads, timings, RequestNotes())
                except OverloadedError:
                    on_dropped("load")
                    return
                except Exception as error:
                    # The caller has its answer; any failure is what a shadow is there to find.
                    self._record_failure(shadowed, error, "shadow")
                    return
                seconds = _own_seconds(timings) / request.inputs
                self._record_answer(shadowed, seconds if len(heads) == 1 else None, "shadow")
                for head, old, new in zip(served, results, answers, strict=True):
                    if (canary := shadowed.get(head.spec.route)) is not None:
                        # Comparable results are answers, whose types are JSON's.
                        await self._compare(
                            canary, head.spec, cast(JsonValue, old), cast(JsonValue, new)
                        )

        self._shadows.submit(run, on_dropped, request.nbytes)

    async def _compare(
        self, canary: RunningCanary, spec: HeadSpec, old: JsonValue, new: JsonValue
    ) -> None:
        tolerance = canary.canary.limits.tolerance
        # Masks are as large as pictures: not in the event loop.
        found: list[Comparison] = await asyncio.to_thread(
            compare_answers, spec, tolerance, plain_answer(old), plain_answer(new)
        )
        canary.monitor.record_comparisons(found)
        for each in found:
            self._metrics.observe_comparison(
                canary.canary.route, canary.version, each.distance, each.differs
            )
        self._judge(canary)

    def _record_answer(
        self, canaries: Mapping[str, RunningCanary], seconds: float | None, use: str
    ) -> None:
        for route, canary in canaries.items():
            canary.monitor.record_candidate(seconds)
            self._metrics.count_answer(route, canary.version, use, "answered")
            if seconds is not None:
                self._metrics.observe_seconds(route, canary.version, seconds)
            self._judge(canary)

    def _record_failure(
        self, canaries: Mapping[str, RunningCanary], error: Exception, use: str
    ) -> None:
        """Count a failure that the served versions did not share, if it is clear whose it is.

        A defect is logged with its trace in any case: no answer shows it.
        """
        if not isinstance(error, OmniVecError):
            _LOG.error("a defect of the new version of %s", ", ".join(canaries), exc_info=error)
        if len(canaries) > 1 or isinstance(error, StaleModelError):
            return
        for route, canary in canaries.items():
            _LOG.warning(
                "%s: version %s fails where the served one answers: %s",
                *(route, canary.version, error),
            )
            canary.monitor.record_failure(str(error) or type(error).__name__)
            self._metrics.count_answer(route, canary.version, use, "failed")
            self._judge(canary)

    def _judge(self, canary: RunningCanary) -> None:
        """End a canary that is over one of its limits."""
        route = canary.canary.route
        if self.running.get(route) is canary and (verdict := canary.monitor.verdict()):
            self._roll_back(canary, verdict)

    def _roll_back(self, canary: RunningCanary, verdict: Verdict) -> None:
        """Stop using a candidate at once, and record why for all gateways."""
        state = canary.canary
        ended = self._rollbacks.roll_back(state, verdict.reason)
        self.running = {route: c for route, c in self.running.items() if c is not canary}
        self.known = {**self.known, state.route: ended}
        self._metrics.count_rollback(state.route, canary.version, verdict.cause.value)
        _LOG.error(
            "%s: version %s is rolled back: it %s", state.route, canary.version, verdict.reason
        )


def _own_seconds(timings: Timings) -> float:
    """Return the time that depends on the version of a head, without waiting."""
    return timings.compute + timings.postprocess
