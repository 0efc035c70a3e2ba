"""The one object that routes hand requests to: it decides, remembers, and passes on to a thread."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import Counter
from pydantic import JsonValue
from pydantic_core import from_json

from omnivec2.spec import HeadSpec
from service.monitoring.answered_classes import has_predictions, read_predictions
from service.monitoring.bounded_worker import BoundedWorker
from service.monitoring.drift.drift_monitor import DriftMonitor
from service.monitoring.feedback.answer_record import AnsweredHead
from service.monitoring.feedback.feedback_desk import Feedback, FeedbackDesk
from service.monitoring.observation import AnsweredRequest, Observation
from service.monitoring.payloads.cloud_events import (
    FEEDBACK,
    PREDICTION,
    Event,
    cloud_event,
    logged_inputs,
)
from service.monitoring.payloads.event_log import EventLog
from service.pipeline.answers import Answer
from service.pipeline.host_stages import Head, RawInput
from service.request_context import REQUEST
from service.runtimes.base import Model
from service.runtimes.seen_summaries import SEEN_SUMMARIES, SeenSummaries
from service.settings import Settings

_LOG = logging.getLogger(__name__)

_MOST_WAITING = 256
_MOST_WAITING_BYTES = 64 * 2**20
_CLOSE_SECONDS = 2.0

Task = Callable[[], None]


class Monitor:
    """Payload log, feedback and drift of a gateway; used on the event loop only.

    Args:
        settings: The settings: shares, heads, bounds.
        log: The payload log; None if there is none.
        desk: The desk that takes feedback; None if it is not taken.
        drift: The windows of the heads; None if drift is not watched.
        skipped: The counter of sampled requests for which there was no room.
    """

    def __init__(
        self,
        settings: Settings,
        log: EventLog | None,
        desk: FeedbackDesk | None,
        drift: DriftMonitor | None,
        skipped: Counter,
    ) -> None:
        self._settings = settings
        self._heads = frozenset(settings.payload_log_heads)
        self._log = log
        self._desk = desk
        self._drift = drift
        self._skipped = skipped
        self._worker = BoundedWorker[Task](
            "monitoring",
            lambda tasks: tasks[0](),
            most_items=_MOST_WAITING,
            most_bytes=_MOST_WAITING_BYTES,
        )

    @property
    def takes_feedback(self) -> bool:
        """Whether answers are remembered."""
        return self._desk is not None

    async def start(self) -> None:
        """Start the threads, and answer other processes of the gateway."""
        self._worker.start()
        if self._log is not None:
            self._log.start()
        if self._desk is not None:
            await self._desk.start()

    async def close(self) -> None:
        """Write what waits, within a few seconds. Idempotent."""
        if self._desk is not None:
            await self._desk.close()
        await asyncio.to_thread(self._worker.close, _CLOSE_SECONDS)
        if self._log is not None:
            await asyncio.to_thread(self._log.close, _CLOSE_SECONDS)

    def begin(self, heads: Sequence[Head], *, is_by_task: bool) -> Observation | None:
        """Decide about a request before it is answered; None if nothing is to be done about it.

        Args:
            heads: The heads that it is to.
            is_by_task: Whether its answers are by task.
        """
        settings = self._settings
        is_logged = (
            self._log is not None
            and self._is_selected(heads)
            and random.random() < settings.payload_log_share
        )
        is_measured = self._drift is not None and random.random() < settings.drift_share
        if not is_logged and not is_measured and self._desk is None:
            return None
        seen: SeenSummaries | None = [] if is_logged or is_measured else None
        if seen is not None:
            SEEN_SUMMARIES.set(seen)
        return Observation(is_by_task, is_logged, is_measured, seen, time.perf_counter())

    def finish(self, observed: Observation, inputs: Sequence[RawInput], answer: Answer) -> None:
        """Remember an answer for feedback, and hand a sampled one to the thread.

        Args:
            observed: The decision of ``begin``.
            inputs: The inputs.
            answer: The answer, as it is sent.
        """
        context = REQUEST.get()
        key = None if context.key is None else context.key.name
        if self._desk is not None:
            heads = [(model.spec, model.version) for model in answer.models]
            self._desk.remember(
                context.request_id, key, heads, answer.body, is_by_task=observed.is_by_task
            )
        if observed.seen is None:
            return
        kept = inputs if observed.is_logged and self._settings.payload_log_inputs else None
        request = AnsweredRequest.of(observed, context.request_id, key, kept, answer)
        if not self._worker.offer(lambda: self._look_at(request), request.nbytes):
            self._skipped.inc()

    async def take_feedback(
        self,
        request_id: str,
        given: Mapping[str, JsonValue],
        spec_of: Callable[[str], HeadSpec],
    ) -> Feedback:
        """Count the feedback of the current caller, and log it; see ``FeedbackDesk.take``."""
        assert self._desk is not None, "feedback is off"
        key = REQUEST.get().key
        name = None if key is None else key.name
        feedback = await self._desk.take(request_id, name, given, spec_of)
        if (log := self._log) is not None:
            data = {"request_id": request_id, "key": name, **feedback.to_json()}
            event = cloud_event(FEEDBACK, feedback.head.route, data)
            if not self._worker.offer(lambda: log.add(event), 1000):
                self._skipped.inc()
        return feedback

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until all that was handed over is looked at and written; return whether it is."""
        is_idle = self._worker.wait_until_idle(seconds)
        return is_idle and (self._log is None or self._log.wait_until_idle(seconds))

    def _is_selected(self, heads: Sequence[Head]) -> bool:
        return not self._heads or any(head.spec.route in self._heads for head in heads)

    def _look_at(self, request: AnsweredRequest) -> None:
        """Look at a sampled request; in the thread."""
        body = from_json(request.body)
        distances: dict[str, float | None] = {}
        for model, answer in request.answers(body):
            distances[model.spec.route] = self._measure(request, model, answer)
        if request.observation.is_logged and self._log is not None:
            self._log.add(self._event(request, body, distances))

    def _measure(self, request: AnsweredRequest, model: Model, answer: JsonValue) -> float | None:
        """Add an answer to the windows of its head; return its distance from training."""
        summaries = request.summaries.get(model)
        if self._drift is not None and request.observation.is_measured:
            scores = _probabilities(model.spec, answer)
            return self._drift.add(model, summaries, scores)
        if summaries is None or model.familiarity is None:
            return None
        return float(model.familiarity.distances(summaries).max())

    def _event(
        self, request: AnsweredRequest, body: JsonValue, distances: Mapping[str, float | None]
    ) -> Event:
        """Return the event of a logged request."""
        most = self._settings.payload_log_max_bytes
        heads = [AnsweredHead.of(model.spec, model.version) for model in request.models]
        data: dict[str, Any] = {
            "request_id": request.request_id,
            "key": request.key,
            "heads": [
                {
                    "head": head.route,
                    "version": head.version,
                    "digest": head.digest,
                    "distance": distances.get(head.route),
                }
                for head in heads
            ],
            "notes": list(request.notes),
            "seconds": {"total": request.seconds, **vars(request.timings)},
            "answer_bytes": len(request.body),
        }
        if len(request.body) <= most:
            data["answer"] = body
        if request.inputs is not None:
            data["inputs"] = logged_inputs(request.inputs, most)
        subject = ",".join(head.route for head in heads)
        return cloud_event(PREDICTION, subject, data, time.perf_counter() - request.answered)


def _probabilities(spec: HeadSpec, answer: JsonValue) -> list[float]:
    """Return the score of each sample, if the head answers with probabilities of classes."""
    if not spec.labels or not has_predictions(spec):
        return []
    scores = [prediction.score for prediction in read_predictions(spec, answer)]
    return [score for score in scores if score is not None and 0.0 <= score <= 1.0]
