"""Prometheus metrics of one application, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from service.pipeline.answers import Timings
from service.runtimes.base import Model

CONTENT_TYPE = CONTENT_TYPE_LATEST

# A request takes some 10 ms alone and some 100 ms under load (docs/capacity.md, "Layouts and
# runtimes"); stages begin at tenths of a millisecond; nothing may take over 30 s by default.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STAGE_SECONDS = (0.0001, 0.0005, *_SECONDS)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
_BYTES = tuple(4**power for power in range(4, 14))  # 256 bytes to 64 MiB

# Known reasons are exported as 0, so that rates exist before the first rejection.
_REASONS = (
    *("work", "model", "requests", "bytes", "slow", "queue", "triton"),  # overload
    *("key", "unauthenticated", "forbidden"),  # access
)

_ROUTE = ("modality", "task")


@dataclass(frozen=True)
class MetricDescription:
    """A metric as the documentation lists it.

    Attributes:
        name: The full name.
        kind: The type, in Prometheus' word.
        labels: The names of its labels.
        meaning: The help text.
    """

    name: str
    kind: str
    labels: Sequence[str]
    meaning: str


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


class Metrics:
    """The metrics of a gateway: traffic, latency per stage, batching, load and models.

    Labels are bounded: modalities and tasks are those of loaded heads, or ``unknown``.

    Attributes:
        registry: The registry that a scrape reads.
        described: The descriptions of all metrics of this project, in the order of creation.
    """

    def __init__(self) -> None:
        # The creation time of every series is unused, and is a third of every scrape.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.described: list[MetricDescription] = []
        self._heads: dict[tuple[str, str], _HeadSeries] = {}
        self._batches: dict[str, _BatchSeries] = {}
        self._requests = self._counter(
            "requests_total",
            "Answered requests; each task of a request for several counts.",
            (*_ROUTE, "status"),
        )
        self._seconds = self._histogram(
            "request_seconds", "From the head of a request to its answer.", _ROUTE, _SECONDS
        )
        self._stages = self._histogram(
            "stage_seconds",
            "A request's stages: decode, preprocess, queue, compute, postprocess.",
            (*_ROUTE, "stage"),
            _STAGE_SECONDS,
        )
        self._received = self._histogram(
            "request_bytes", "Body of a request, as far as it was read.", _ROUTE, _BYTES
        )
        self._sent = self._histogram("response_bytes", "Body of an answer.", _ROUTE, _BYTES)
        self._notes = self._counter(
            "input_notes_total",
            "Notes on inputs: what was guessed or left out, in answers and strict refusals.",
            (*_ROUTE, "code"),
        )
        self._rejections = self._counter(
            "rejections_total", "Requests refused by a limit or by access control.", ("reason",)
        )
        for reason in _REASONS:
            self._rejections.labels(reason)
        self._batch_rows = self._histogram(
            "batch_rows", "Samples computed together.", ("model",), _ROWS
        )
        self._batch_seconds = self._histogram(
            "batch_seconds", "Time to compute one batch.", ("model",), _SECONDS
        )
        self._batch_tokens = self._counter(
            "batch_tokens_total",
            "Tokens of computed batches whose masks tell real ones from padding: kind is real"
            " or padding.",
            ("model", "kind"),
        )
        self._ready = self._gauge("ready", "1 if /readyz would answer 200.")
        self._lag = self._histogram(
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

    def observe_rejection(self, reason: str) -> None:
        """Count a request that a limit or access control has refused.

        Args:
            reason: The label, one of a few words; see ``OmniVecError.reason``.
        """
        self._rejections.labels(reason).inc()

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

    def watch(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is read at every scrape."""
        self._gauge(name, description).set_function(value)

    def limit(self, name: str, value: float) -> None:
        """Add the limit of a watched gauge, under its name with the prefix ``max_``."""
        self._gauge(f"max_{name}", f"Limit on omnivec2_{name}.").set(value)

    def watch_models(self, models: Callable[[], Iterable[Model]]) -> None:
        """Add one series for each model that is served at the time of a scrape."""
        collector = _Models(models)
        self.registry.register(collector)
        self.described.append(
            MetricDescription(_Models.NAME, "gauge", _Models.LABELS, _Models.MEANING)
        )

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

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

    def _counter(self, name: str, meaning: str, labels: Sequence[str]) -> Counter:
        name = self._describe(name, "counter", labels, meaning)
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        name = self._describe(name, "gauge", (), meaning)
        return Gauge(name, meaning, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, labels: Sequence[str], buckets: Sequence[float]
    ) -> Histogram:
        name = self._describe(name, "histogram", labels, meaning)
        return Histogram(name, meaning, labels, buckets=buckets, registry=self.registry)

    def _describe(self, name: str, kind: str, labels: Sequence[str], meaning: str) -> str:
        full = f"omnivec2_{name}"
        self.described.append(MetricDescription(full, kind, labels, meaning))
        return full


class _Models(Collector):
    """One series per served model; it ends when the model is removed."""

    NAME = "omnivec2_model_info"
    MEANING = "1 for each model that is served; digest is its checkpoint's."
    LABELS = (*_ROUTE, "model", "version", "network", "digest")

    def __init__(self, models: Callable[[], Iterable[Model]]) -> None:
        self._models = models

    def collect(self) -> Iterable[Metric]:
        """Collect the current models."""
        family = GaugeMetricFamily(self.NAME, self.MEANING, labels=self.LABELS)
        for model in self._models():
            spec = model.spec
            labels = (spec.modality.value, spec.task, model.name, model.version)
            family.add_metric((*labels, spec.network, spec.checkpoint_digest[:12]), 1.0)
        yield family
