"""The parts of a running gateway and how they come up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from omnivec2.errors import ModelNotReadyError, OmniVecError
from service.access.access_setup import make_access
from service.admission.admission_setup import make_admission
from service.canary.canary_router import CanaryRouter
from service.decoding.decoder_setup import make_decoders
from service.model_loading import ModelLoader
from service.monitoring.monitor_setup import make_monitor
from service.observability import tracing
from service.observability.gateway_metrics import Metrics
from service.observability.group_metrics import GroupMetrics
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import Head
from service.runtimes.base import GroupMember, Health, Runtime
from service.runtimes.embedded.heap import trim_heap_regularly
from service.runtimes.runtime_setup import make_runtime
from service.server.shutdown import ShutdownState
from service.settings import Settings
from service.shared_state.store_setup import make_shared_state

if TYPE_CHECKING:
    from service.response_cache.response_cache import ResponseCache

_LOG = logging.getLogger(__name__)

_MEASURE_SECONDS = 0.5
"""The time between two measurements of the event loop's lag and of readiness."""
_JOIN_POLL_SECONDS = 0.1
"""The time between two checks whether to stop while the models are loaded."""
_CLOSE_SECONDS = 2.0
"""The time that host threads have to finish, once the requests they work for have ended."""


def _make_response_cache(settings: Settings, metrics: Metrics) -> ResponseCache | None:
    """Return the cache of answers; None where it is switched off, and then it costs nothing."""
    if not settings.response_cache_mib:
        return None
    from service.response_cache.cache_setup import make_response_cache

    return make_response_cache(settings, metrics)


class BackgroundWork(Protocol):
    """What runs beside the requests of a gateway, once its models are loaded."""

    async def start(self) -> None:
        """Start it.

        Raises:
            ArtifactError: It cannot be started.
        """

    async def close(self) -> None:
        """End it, while the models are still there. Idempotent."""


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
        shared_state: The store that this gateway shares with others; None if it shares none.
        shutdown: The state of the process's shutdown.
        monitor: The payload log, feedback and drift; None if all are off.
        runtime: The runtime of the models.
        canaries: The router of requests to heads that have two versions.
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
        self.admission = make_admission(settings, self.metrics)
        self._response_cache = _make_response_cache(settings, self.metrics)
        self.shutdown = ShutdownState()
        self.shared_state = make_shared_state(settings, self.metrics)
        self.access = make_access(settings, self.metrics, self.shared_state)
        self._attached: list[BackgroundWork] = []
        loaded = group.runtime if group else None
        self.runtime = runtime or make_runtime(settings, self.metrics, loaded)
        self.monitor = make_monitor(settings, self.metrics, self.shared_state, group)
        self.canaries = CanaryRouter(
            settings.model_repo, self.metrics.canaries, self._has_spare_time
        )
        self._decoders = make_decoders(settings, self.metrics)
        self._loader = ModelLoader(
            settings,
            self.runtime,
            self.canaries,
            self._decoders,
            # What another runtime serves is not known before it does.
            starts_decoders=runtime is None,
        )
        self._dataplane: DataPlane | None = None
        self.failure = ""
        self.grpc_address = ""
        self.metrics_address = ""
        self.recorder = tracing.start()
        self.loading: asyncio.Task[None] | None = None
        self.leaves_threads = False
        self._stuck = 0
        self._background: list[asyncio.Task[None]] = []
        self._add_gauges()

    @property
    def response_cache(self) -> ResponseCache | None:
        """The answers that are kept; None if none are, or while callers get several versions."""
        return None if self.canaries.running else self._response_cache

    @property
    def dataplane(self) -> DataPlane:
        """The data plane, which answers requests.

        Raises:
            ModelNotReadyError: The models are still being loaded, or could not be.
        """
        if self._dataplane is None:
            raise ModelNotReadyError(self.failure or f"{self._loader.waiting}; try again soon")
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
            return Health(
                False, health.detail or self._loader.waiting, health.refused, health.slower
            )
        refused = {**health.refused, **self._dataplane.served.refused}
        if self._dataplane.host_threads.is_blocked:
            detail = "no thread is left to decode inputs: all are stuck in some whose time is over"
            return Health(False, detail, refused, health.slower)
        return Health(health.ready, health.detail, refused, health.slower)

    def attach(self, work: BackgroundWork) -> None:
        """Let something run beside the requests; to be called before the models are loaded."""
        self._attached.append(work)

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
        for work in self._attached:
            await work.close()
        if self.monitor is not None:
            await self.monitor.close()
        await self.canaries.close()
        if self.shared_state is not None:
            await self.shared_state.close()
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
        watch = self.metrics.watch
        watch("stuck_host_threads", "Threads that do not come back from an input.", self._stuck_now)
        watch(
            "models_refresh_age_seconds",
            "Time since the last poll of the models.",
            lambda: self._loader.age_seconds,
        )
        self.metrics.watch_models(lambda: [head.model for head in self._heads()])
        canaries = self.canaries
        self.metrics.watch_canaries(
            lambda: list(canaries.known.values()), lambda: canaries.unrecorded
        )

    def _stuck_now(self) -> int:
        return self._dataplane.host_threads.stuck if self._dataplane else 0

    def _has_spare_time(self) -> bool:
        return self.admission.wait_seconds <= self.settings.shadow_wait_seconds

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
        if self.shared_state is not None:
            await self.shared_state.start()
        if self.monitor is not None:
            await self.monitor.start()
        plane = await self._loader.load()
        self._dataplane = plane
        for work in self._attached:
            await work.start()
        _LOG.info("ready: %s", ", ".join(sorted(plane.heads)))
        calls = (self._loader.poll(plane), trim_heap_regularly(self._is_busy))
        self._background += [asyncio.create_task(call) for call in calls]

    def _on_loaded(self, loading: asyncio.Task[None]) -> None:
        """Keep the reason if loading failed; a defect must not look like slow loading."""
        error = None if loading.cancelled() else loading.exception()
        if error is None:
            return
        known = isinstance(error, OmniVecError)
        self.failure = str(error) if known else "the models could not be loaded; see the log"
        _LOG.error("the models cannot be served: %s", error, exc_info=None if known else error)
