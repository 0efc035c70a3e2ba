"""The parts of a running gateway and how they come up."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from omnivec2.errors import ArtifactError, ModelNotReadyError, OmniVecError
from omnivec2.spec import Modality
from service.access.access_control import AccessControl
from service.admission.admission_control import AdmissionControl
from service.decoding.decoder_pool import DecoderPool
from service.observability import tracing
from service.observability.gateway_metrics import Metrics
from service.observability.group_metrics import GroupMetrics
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import Head
from service.runtimes.base import GroupMember, Health, Runtime
from service.runtimes.embedded.heap import trim_heap
from service.server.shutdown import ShutdownState
from service.settings import Settings

_LOG = logging.getLogger(__name__)

RuntimeFactory = Callable[[Settings, Metrics, Runtime | None], Runtime]
"""Makes the runtime of a process, or takes one that was loaded before."""

_START_SECONDS = 0.25
"""The pause before a runtime that is not ready yet is started again."""
_MEASURE_SECONDS = 0.5
"""The time between two measurements of the event loop's lag and of readiness."""
_JOIN_POLL_SECONDS = 0.1
"""The time between two checks whether to stop while the models are loaded."""
_CLOSE_SECONDS = 2.0
"""The time that host threads have to finish, once the requests they work for have ended."""
_TRIM_SECONDS = 5.0
"""The time between two trims of the heap: pages that are needed again must be zeroed."""
_TRIM_BUSY_SECONDS = 20.0
"""The same while there is work: allocations wait during a trim, a tenth of a second at worst."""


def _embedded_runtime(settings: Settings, metrics: Metrics, loaded: Runtime | None) -> Runtime:
    from service.runtimes.embedded.runtime import EmbeddedRuntime

    runtime = loaded if isinstance(loaded, EmbeddedRuntime) else EmbeddedRuntime(settings)
    runtime.observe(metrics.observe_batch, metrics.observe_tokens)
    metrics.watch("queue_rows", "Samples that wait for a worker.", lambda: runtime.waiting_rows)
    metrics.limit("queue_rows", settings.max_queue_rows)
    return runtime


def _triton_runtime(settings: Settings, metrics: Metrics, _: Runtime | None) -> Runtime:
    from service.runtimes.triton.runtime import TritonRuntime

    runtime = TritonRuntime(settings)
    metrics.watch("triton_servers_up", "Triton servers that answer.", lambda: runtime.endpoints_up)
    return runtime


def _make_decoders(settings: Settings) -> DecoderPool | None:
    """Return the processes that decode; None where they are switched off or cannot be bounded."""
    if not settings.isolate_decoders or sys.platform != "linux":
        return None
    memory_bytes = settings.decoder_memory_mb * 2**20
    return DecoderPool(settings.host_workers, memory_bytes, settings.decoder_seconds)


def _expected_modalities(settings: Settings) -> list[Modality]:
    """Return the modalities that will be served, as far as it is known before models are loaded."""
    names = [name.partition("/")[0] for name in settings.only]
    if not names and settings.runtime == "embedded" and settings.model_repo.is_dir():
        names = [path.name.partition("_")[0] for path in settings.model_repo.iterdir()]
    return [modality for modality in Modality if modality.value in names or not names]


async def _trim_heap_regularly(is_busy: Callable[[], bool]) -> None:
    """Return the heap memory that decoding and inference have freed to the system, regularly."""
    trimmed = time.monotonic()
    while True:
        await asyncio.sleep(_TRIM_SECONDS)
        if not is_busy() or time.monotonic() - trimmed >= _TRIM_BUSY_SECONDS:
            await asyncio.to_thread(trim_heap)
            trimmed = time.monotonic()


RUNTIMES: Mapping[str, RuntimeFactory] = {
    "embedded": _embedded_runtime,
    "triton": _triton_runtime,
}


class Gateway:
    """The state that all routes share. Models load in the background: /healthz answers at once.

    Args:
        settings: The settings of this process.
        runtime: A runtime to use instead of the one that the settings name.
        group: The process's place among several; None if it is the only one.

    Attributes:
        settings: The settings of this process.
        metrics: The metrics of this process.
        admission: The limits on the work that is accepted.
        access: The API keys; None if none are required.
        shutdown: The state of the process's shutdown.
        runtime: The runtime of the models.
        failure: The reason why the models cannot be served; empty if they can or still may.
        place: The place of this process among several; 0 if it is the only one.
        grpc_address: The address at which gRPC is served; empty if it is not.
        metrics_address: The address of the metrics, if they have a port of their own.
        recorder: The recorder of traces; None if they are off.
        loading: The task that loads the models, once started.
        leaves_threads: Whether ``close`` has left threads behind that did not finish.
    """

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime | None = None,
        group: GroupMember | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.place = group.place if group else 0
        self._group_metrics = (
            GroupMetrics(group.directory, group.place, self.metrics.exposition) if group else None
        )
        self.admission = AdmissionControl(
            settings.max_pending_requests,
            settings.max_pending_bytes,
            max_queue_seconds=settings.max_queue_seconds,
            workers=settings.inference_workers,
        )
        self.shutdown = ShutdownState()
        self.access = AccessControl(settings.api_keys_file) if settings.api_keys_file else None
        loaded = group.runtime if group else None
        self.runtime = runtime or RUNTIMES[settings.runtime](settings, self.metrics, loaded)
        self._decoders = _make_decoders(settings)
        # What another runtime serves is not known before it does: its decoders start when needed.
        self._starts_decoders = runtime is None
        self._dataplane: DataPlane | None = None
        self.failure = ""
        self._waiting = "the models are being loaded"
        self.grpc_address = ""
        self.metrics_address = ""
        self.recorder = tracing.start()
        self.loading: asyncio.Task[None] | None = None
        self.leaves_threads = False
        self._stuck = 0
        self._background: list[asyncio.Task[None]] = []
        self._refreshed = time.monotonic()
        self._add_gauges()

    @property
    def dataplane(self) -> DataPlane:
        """The data plane, which answers requests.

        Raises:
            ModelNotReadyError: The models are still being loaded, or could not be.
        """
        if self._dataplane is None:
            raise ModelNotReadyError(self.failure or f"{self._waiting}; try again soon")
        return self._dataplane

    @property
    def registry(self) -> CollectorRegistry:
        """The metrics of this process, or of the group it belongs to."""
        return self._group_metrics.registry if self._group_metrics else self.metrics.registry

    def exposition(self) -> bytes:
        """Return the metrics of this process, or of its group, in Prometheus' text format."""
        return generate_latest(self.registry)

    async def health(self) -> Health:
        """Return the runtime's health, or the reason why it did not start."""
        if self.shutdown.draining:
            return Health(False, "the service is stopping")
        if self.failure:
            return Health(False, self.failure)
        health = await self.runtime.health()
        if self._dataplane is None:
            return Health(False, health.detail or self._waiting, health.refused, health.slower)
        refused = {**health.refused, **self._dataplane.served.refused}
        if self._dataplane.host_threads.is_blocked:
            detail = "no thread is left to decode inputs: all are stuck in some whose time is over"
            return Health(False, detail, refused, health.slower)
        return Health(health.ready, health.detail, refused, health.slower)

    def start_loading(self) -> None:
        """Start loading the models; needs a running event loop."""
        self.loading = asyncio.create_task(self._load())
        self.loading.add_done_callback(self._on_loaded)
        self._background = [asyncio.create_task(self._measure())]

    async def join_group(self) -> None:
        """Wait until the models are loaded, if this is one of several processes.

        It listens only then: until it can answer, the others do.
        """
        if self._group_metrics is None or self.loading is None:
            return
        while not self.loading.done() and not self.shutdown.draining:
            await asyncio.wait((self.loading,), timeout=_JOIN_POLL_SECONDS)
        self._group_metrics.start()

    async def close(self) -> None:
        """Finish what runs and free everything."""
        for task in (self.loading, *self._background):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        if self._dataplane is not None:
            finished = await asyncio.to_thread(self._dataplane.close, _CLOSE_SECONDS)
            if self._decoders is not None:
                # Threads that wait for a decoder come back when it ends.
                await asyncio.to_thread(self._decoders.close)
                finished = await asyncio.to_thread(self._dataplane.close, _CLOSE_SECONDS)
            if not finished:
                _LOG.error("host threads do not finish; they are left behind")
                self.leaves_threads = True
            self._dataplane = None
        elif self._decoders is not None:
            await asyncio.to_thread(self._decoders.close)
        try:
            await self.runtime.close()
        except ModelNotReadyError as error:
            _LOG.error("the runtime is left behind: %s", error)
            self.leaves_threads = True
        if self._group_metrics is not None:
            await asyncio.to_thread(self._group_metrics.close)
        if self.recorder is not None:
            await asyncio.to_thread(self.recorder.close)

    def _add_gauges(self) -> None:
        """Add the metrics whose values are read when the metrics are."""
        watch, settings = self.metrics.watch, self.settings
        watch("pending_requests", "Requests being worked on.", lambda: self.admission.requests)
        watch(
            "slow_bodies",
            "Requests whose bodies arrive slowly; not among the pending ones.",
            lambda: self.admission.arriving.apart,
        )
        watch("pending_bytes", "Bytes of request bodies held.", lambda: self.admission.bytes)
        watch(
            "wait_seconds",
            "Expected wait of a request that arrives now.",
            lambda: self.admission.wait_seconds,
        )
        watch("stuck_host_threads", "Threads that do not come back from an input.", self._stuck_now)
        for gauge in ("pending_requests", "pending_bytes"):
            self.metrics.limit(gauge, getattr(settings, f"max_{gauge}"))
        watch(
            "models_refresh_age_seconds",
            "Time since the last poll of the models.",
            lambda: time.monotonic() - self._refreshed,
        )
        if (decoders := self._decoders) is not None:
            watch(
                "decoders_lost",
                "Decoder processes that crashed or had to be ended.",
                lambda: decoders.lost,
            )
        self.metrics.watch_models(lambda: [head.model for head in self._heads()])

    def _stuck_now(self) -> int:
        return self._dataplane.host_threads.stuck if self._dataplane else 0

    def _is_busy(self) -> bool:
        return self.admission.requests > 0

    def _heads(self) -> Sequence[Head]:
        return list(self._dataplane.heads.values()) if self._dataplane else []

    async def _measure(self) -> None:
        """Measure regularly how late the event loop is, and whether the service is ready."""
        while True:
            due = time.perf_counter() + _MEASURE_SECONDS
            await asyncio.sleep(_MEASURE_SECONDS)
            self.metrics.observe_lag(max(0.0, time.perf_counter() - due))
            self.metrics.set_ready((await self.health()).ready)
            if (stuck := self._stuck_now()) != self._stuck:
                self._stuck = stuck
                _LOG.error("%d host threads are stuck in inputs whose time is over", stuck)

    async def _load(self) -> None:
        # They start while the models are loaded: importing the codecs takes as long.
        starting = asyncio.create_task(asyncio.to_thread(self._start_decoders))
        self._background.append(starting)
        await self._start()
        # Codecs are imported here, which takes a while: not in the event loop.
        plane = await asyncio.to_thread(
            DataPlane,
            self.runtime,
            self.settings.host_workers,
            2 * self.settings.inference_workers,
            self._decoders,
            self.settings.max_batch_token_pairs,
        )
        if not plane.heads:
            plane.close()
            reasons = "; ".join(plane.served.refused.values())
            raise ArtifactError(f"nothing can be served: {reasons}")
        await starting
        self._dataplane = plane
        _LOG.info("ready: %s", ", ".join(sorted(plane.heads)))
        self._refreshed = time.monotonic()
        calls = (self._poll_models(plane), _trim_heap_regularly(self._is_busy))
        self._background += [asyncio.create_task(call) for call in calls]

    def _start_decoders(self) -> None:
        if self._decoders is not None and self._starts_decoders:
            self._decoders.start(_expected_modalities(self.settings))

    async def _start(self) -> None:
        """Start the runtime, and retry until it is ready: its servers may start later."""
        while True:
            try:
                await self.runtime.start()
                return
            except ModelNotReadyError as error:
                if self._waiting != str(error):
                    self._waiting = str(error)
                    _LOG.warning("waiting: %s", error)
            await asyncio.sleep(_START_SECONDS)

    async def _poll_models(self, plane: DataPlane) -> None:
        """Poll the runtime for added, changed and removed models, and serve those it has."""
        while seconds := self.settings.refresh_seconds:
            await asyncio.sleep(seconds)
            try:
                await plane.served.refresh()
                self._refreshed = time.monotonic()
            except Exception:
                # A runtime depends on disks and other servers: no failure of theirs, and no defect
                # here, may end this loop, or no later change would be seen.
                _LOG.exception("the models could not be refreshed")

    def _on_loaded(self, loading: asyncio.Task[None]) -> None:
        """Keep the reason if loading failed; a defect must not look like slow loading."""
        error = None if loading.cancelled() else loading.exception()
        if error is None:
            return
        known = isinstance(error, OmniVecError)
        self.failure = str(error) if known else "the models could not be loaded; see the log"
        _LOG.error("the models cannot be served: %s", error, exc_info=None if known else error)
