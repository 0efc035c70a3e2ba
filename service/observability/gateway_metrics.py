"""Prometheus metrics of one application, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from omnivec2.canary.canary_state import Canary
from service.access.priority import Priority
from service.observability.canary_metrics import CanaryMetrics, CanaryShares
from service.observability.described_metrics import DescribedMetrics, MetricDescription
from service.observability.job_metrics import JobMetrics
from service.observability.key_metrics import KeyMetrics
from service.observability.model_metrics import ServedModels
from service.pipeline.answers import Timings
from service.runtimes.base import Model

CONTENT_TYPE = CONTENT_TYPE_LATEST

# A request takes some 10 ms alone and some 100 ms under load (docs/capacity.md, "Layouts and
# runtimes"); stages begin at tenths of a millisecond; nothing may take over 30 s by default.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STAGE_SECONDS = (0.0001, 0.0005, *_SECONDS)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_STORE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
_BYTES = tuple(4**power for power in range(4, 14))  # 256 bytes to 64 MiB

# Known reasons are exported as 0, so that rates exist before the first rejection.
_REASONS = (
    *("work", "model", "requests", "bytes", "slow", "queue", "triton"),  # overload
    *("key", "unauthenticated", "forbidden"),  # access
)

_ROUTE = ("modality", "task")


@dataclass(frozen=True)
class _HeadSeries:
    """The series of one head, looked up once; ``answered`` is by status."""

    answered: dict[int, Counter]
    seconds: Histogram
    received: Histogram
    sent: Histogram
    stages: dict[str, Histogram]


@dataclass(frozen=True)
class _BatchSeries:
    """The series of one graph's batches, looked up once."""

    rows: Histogram
    seconds: Histogram
    real_tokens: Counter
    padding_tokens: Counter


class Metrics(DescribedMetrics):
    """The metrics of a gateway: traffic, latency per stage, batching, load and models.

    Labels are bounded: modalities and tasks are those of loaded heads, or ``unknown``.

    Attributes:
        keys: The metrics of API keys.
        canaries: The metrics of heads with two versions.
    """

    def __init__(self) -> None:
        # The creation time of every series is unused, and is a third of every scrape.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        super().__init__()
        self._heads: dict[tuple[str, str], _HeadSeries] = {}
        self._batches: dict[str, _BatchSeries] = {}
        self._requests = self.counter(
            "requests_total",
            "Answered requests; each task of a request for several counts.",
            (*_ROUTE, "status"),
        )
        self._seconds = self.histogram(
            "request_seconds", "From the head of a request to its answer.", _ROUTE, _SECONDS
        )
        self._stages = self.histogram(
            "stage_seconds",
            "A request's stages: decode, preprocess, queue, compute, postprocess.",
            (*_ROUTE, "stage"),
            _STAGE_SECONDS,
        )
        self._received = self.histogram(
            "request_bytes", "Body of a request, as far as it was read.", _ROUTE, _BYTES
        )
        self._sent = self.histogram("response_bytes", "Body of an answer.", _ROUTE, _BYTES)
        self._notes = self.counter(
            "input_notes_total",
            "Notes on inputs: what was guessed or left out, in answers and strict refusals.",
            (*_ROUTE, "code"),
        )
        self._stream_events = self.counter(
            "stream_events_total",
            "Events of streamed answers: window, token, answer, error.",
            ("event",),
        )
        for event in ("window", "token", "answer", "error"):
            self._stream_events.labels(event)
        self._cache_lookups = self.counter(
            "response_cache_lookups_total",
            "Inputs that were looked up among kept answers: hit, miss, or bypass if the caller"
            " wanted what is computed now.",
            (*_ROUTE, "outcome"),
        )
        self._rejections = self.counter(
            "rejections_total", "Requests refused by a limit or by access control.", ("reason",)
        )
        for reason in _REASONS:
            self._rejections.labels(reason)
        self._admissions = self.counter(
            "admissions_total",
            "Requests by priority class (high, normal, low) and outcome (admitted, refused).",
            ("priority", "outcome"),
        )
        for priority in Priority:
            for outcome in ("admitted", "refused"):
                self._admissions.labels(priority.label, outcome)
        self._batch_rows = self.histogram(
            "batch_rows", "Samples computed together.", ("model",), _ROWS
        )
        self._batch_seconds = self.histogram(
            "batch_seconds", "Time to compute one batch.", ("model",), _SECONDS
        )
        self._batch_tokens = self.counter(
            "batch_tokens_total",
            "Tokens of computed batches whose masks tell real ones from padding: kind is real"
            " or padding.",
            ("model", "kind"),
        )
        self.keys = KeyMetrics(self.counter)
        self.canaries = CanaryMetrics(self.counter, self.histogram)
        self._ready = self.gauge("ready", "1 if /readyz would answer 200.")
        self._lag = self.histogram(
            "event_loop_lag_seconds", "How late the event loop is.", (), _LAG_SECONDS
        )
        ProcessCollector(registry=self.registry)

    def observe_request(self, modality: str, task: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        head = self._series_of(modality, task)
        if (answered := head.answered.get(status)) is None:
            answered = head.answered[status] = self._requests.labels(modality, task, str(status))
        answered.inc()
        head.seconds.observe(seconds)

    def observe_stages(self, modality: str, task: str, timings: Timings) -> None:
        """Record how long the stages of an answered request took."""
        stages = self._series_of(modality, task).stages
        for stage, seconds in vars(timings).items():
            stages[stage].observe(seconds)

    def observe_bytes(self, modality: str, task: str, received: int, sent: int) -> None:
        """Record the sizes of a request's and of its answer's body."""
        head = self._series_of(modality, task)
        head.received.observe(received)
        head.sent.observe(sent)

    def observe_note(self, modality: str, task: str, code: str) -> None:
        """Count a note on an input of a request.

        Args:
            modality: The modality of a head.
            task: The task of the head.
            code: The code of the note; see ``NoteCode``.
        """
        self._notes.labels(modality, task, code).inc()

    def observe_stream_event(self, event: str) -> None:
        """Count an event of a streamed answer by its name."""
        self._stream_events.labels(event).inc()

    def observe_cache_lookup(self, modality: str, task: str, outcome: str, times: int = 1) -> None:
        """Count inputs of a head that were looked up among kept answers.

        Args:
            modality: The modality of the head.
            task: The task of the head.
            outcome: The outcome: ``hit``, ``miss`` or ``bypass``.
            times: The number of inputs.
        """
        self._cache_lookups.labels(modality, task, outcome).inc(times)

    def observe_rejection(self, reason: str) -> None:
        """Count a request that a limit or access control has refused.

        Args:
            reason: The label, one of a few words; see ``OmniVecError.reason``.
        """
        self._rejections.labels(reason).inc()

    def observe_admission(self, priority: str, outcome: str) -> None:
        """Count a request of a priority class that is ``admitted``, or ``refused`` for overload."""
        self._admissions.labels(priority, outcome).inc()

    def observe_batch(self, model: str, rows: int, seconds: float) -> None:
        """Record a computed batch; safe in any thread."""
        batches = self._batches_of(model)
        batches.rows.observe(rows)
        batches.seconds.observe(seconds)

    def observe_tokens(self, model: str, real: int, padding: int) -> None:
        """Count the tokens of a computed batch; safe in any thread.

        Args:
            model: The model or part.
            real: The number of tokens that its masks name as real.
            padding: The number of the others, which are computed in vain.
        """
        batches = self._batches_of(model)
        batches.real_tokens.inc(real)
        batches.padding_tokens.inc(padding)

    def observe_lag(self, seconds: float) -> None:
        """Record by how much the event loop was late for a timer."""
        self._lag.observe(seconds)

    def set_ready(self, ready: bool) -> None:
        """Record whether the service is ready."""
        self._ready.set(ready)

    def watch_shared_state(
        self, is_up: Callable[[], bool], replicas: Callable[[], int]
    ) -> Callable[[float], None]:
        """Add the metrics of the store that gateways share.

        Args:
            is_up: A function that returns whether it can be used.
            replicas: A function that returns the number of gateways last seen.

        Returns:
            The callback for every use of the store; it takes the seconds.
        """
        self.watch("shared_state_up", "1 if the shared state can be used.", is_up)
        self.watch("replicas", "Gateways last seen in the shared state.", replicas)
        self._local_decisions = self.counter(
            "local_limit_decisions_total",
            "Decisions on limits of API keys that a gateway made by its share: the shared state was"
            " away.",
            (),
        )
        seconds = self.histogram(
            "shared_state_seconds", "Time of one use of the shared state.", (), _STORE_SECONDS
        )
        return seconds.observe

    def observe_local_decision(self) -> None:
        """Count a decision on a key's limits that the shared state could not make."""
        self._local_decisions.inc()

    def add_jobs(self) -> JobMetrics:
        """Add the metrics of jobs, which only a gateway with a store of them has."""
        return JobMetrics(self.counter, self.histogram)

    def watch_models(self, models: Callable[[], Iterable[Model]]) -> None:
        """Add one series for each model that is served at the time of a scrape."""
        described = MetricDescription(
            ServedModels.NAME, "gauge", ServedModels.LABELS, ServedModels.MEANING
        )
        self.add_collector(ServedModels(models), described)

    def watch_canaries(
        self, canaries: Callable[[], Iterable[Canary]], unrecorded: Callable[[], float]
    ) -> None:
        """Add one series for each canary that is known at the time of a scrape.

        Args:
            canaries: A function that returns them, with how they ended.
            unrecorded: A function that returns how many rollbacks are not recorded yet.
        """
        described = MetricDescription(
            CanaryShares.NAME, "gauge", CanaryShares.LABELS, CanaryShares.MEANING
        )
        self.add_collector(CanaryShares(canaries), described)
        self.watch(
            "canary_rollbacks_unrecorded",
            "Rollbacks that this gateway could not write into the repository.",
            unrecorded,
        )

    def _series_of(self, modality: str, task: str) -> _HeadSeries:
        key = (modality, task)
        if (known := self._heads.get(key)) is not None:
            return known
        stages = {stage: self._stages.labels(*key, stage) for stage in vars(Timings())}
        series = _HeadSeries(
            {},
            self._seconds.labels(*key),
            self._received.labels(*key),
            self._sent.labels(*key),
            stages,
        )
        self._heads[key] = series
        return series

    def _batches_of(self, model: str) -> _BatchSeries:
        if (known := self._batches.get(model)) is not None:
            return known
        tokens = self._batch_tokens
        series = _BatchSeries(
            self._batch_rows.labels(model),
            self._batch_seconds.labels(model),
            tokens.labels(model, "real"),
            tokens.labels(model, "padding"),
        )
        self._batches[model] = series
        return series
