"""Loading of the models of a gateway, and polling for those that are added, changed or removed."""

from __future__ import annotations

import asyncio
import logging
import time

from omnivec2.errors import ArtifactError, ModelNotReadyError
from service.canary.canary_router import CanaryRouter
from service.decoding.decoder_pool import DecoderPool
from service.decoding.decoder_setup import expected_modalities
from service.pipeline.data_plane import DataPlane
from service.runtimes.base import Runtime
from service.settings import Settings

_LOG = logging.getLogger(__name__)

_START_SECONDS = 0.25
"""The pause before a runtime that is not ready yet is started again."""


class ModelLoader:
    """Makes the data plane of what a runtime serves, and keeps it up to date.

    Args:
        settings: The settings of the process.
        runtime: The runtime; it is started here.
        canaries: The router of requests to heads that have two versions.
        decoders: The processes in which native code reads inputs; None reads them in this one.
        starts_decoders: Whether the decoders are started while the models are loaded; otherwise
            each starts when it is first needed.

    Attributes:
        waiting: The reason why the models are not there yet.
    """

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        canaries: CanaryRouter,
        decoders: DecoderPool | None,
        *,
        starts_decoders: bool,
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._canaries = canaries
        self._decoders = decoders
        self._starts_decoders = starts_decoders
        self._refreshed = time.monotonic()
        self.waiting = "the models are being loaded"

    @property
    def age_seconds(self) -> float:
        """The time since the last poll of the models."""
        return time.monotonic() - self._refreshed

    async def load(self) -> DataPlane:
        """Start the runtime and return the data plane of its models.

        Raises:
            ArtifactError: Nothing can be served.
        """
        # They start while the models are loaded: importing the codecs takes as long.
        starting = asyncio.create_task(asyncio.to_thread(self._start_decoders))
        try:
            await self._start_runtime()
            plane = await self._make_plane()
            await self._canaries.refresh(plane.served)
            await starting
        finally:
            starting.cancel()
            await asyncio.wait((starting,))
        self._refreshed = time.monotonic()
        return plane

    async def poll(self, plane: DataPlane) -> None:
        """Poll the runtime for added, changed and removed models, and serve those it has."""
        while seconds := self._settings.refresh_seconds:
            await asyncio.sleep(seconds)
            try:
                await plane.served.refresh()
                await self._canaries.refresh(plane.served)
                self._refreshed = time.monotonic()
            except Exception:
                # A runtime depends on disks and other servers: no failure of theirs, and no defect
                # here, may end this loop, or no later change would be seen.
                _LOG.exception("the models could not be refreshed")

    def _start_decoders(self) -> None:
        if self._decoders is not None and self._starts_decoders:
            self._decoders.start(expected_modalities(self._settings))

    async def _start_runtime(self) -> None:
        """Start the runtime, and retry until it is ready: its servers may start later."""
        while True:
            try:
                await self._runtime.start()
                return
            except ModelNotReadyError as error:
                if self.waiting != str(error):
                    self.waiting = str(error)
                    _LOG.warning("waiting: %s", error)
            await asyncio.sleep(_START_SECONDS)

    async def _make_plane(self) -> DataPlane:
        # Codecs are imported here, which takes a while: not in the event loop.
        plane = await asyncio.to_thread(
            DataPlane,
            self._runtime,
            self._settings.host_workers,
            2 * self._settings.inference_workers,
            self._decoders,
            self._settings.max_batch_token_pairs,
            self._settings.explanation_segments,
            self._canaries,
        )
        if not plane.heads:
            plane.close()
            reasons = "; ".join(plane.served.refused.values())
            raise ArtifactError(f"nothing can be served: {reasons}")
        return plane
