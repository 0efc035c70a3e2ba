"""The versions of heads that answer a request: those that are served, or their canaries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from omnivec2.errors import StaleModelError
from service.canary.canary_router import CanaryRouter
from service.canary.heads_request import HeadsRequest
from service.pipeline.heads.served_heads import ServedHeads
from service.pipeline.host_stages import Head

R = TypeVar("R")


class HeadVersions:
    """Answers requests with the versions of heads that they get.

    Args:
        served: The heads of the runtime's models.
        canaries: The router of requests to heads that have two versions; None serves one of each.
    """

    def __init__(self, served: ServedHeads, canaries: CanaryRouter | None) -> None:
        self._served = served
        self._canaries = canaries

    async def answer(
        self, request: HeadsRequest[R], *, any_version: bool = True
    ) -> tuple[Sequence[Head], list[R]]:
        """Return the heads that answered a request, and their results.

        Args:
            request: The request.
            any_version: Whether canaries of the heads may answer.

        Raises:
            StaleModelError: One of the heads is no longer served, or was replaced twice.
        """
        if any_version and self._canaries is not None and self._canaries.running:
            return await self._canaries.answer(request, partial(self._by_served, request))
        return await self._by_served(request)

    async def _by_served(self, request: HeadsRequest[R]) -> tuple[Sequence[Head], list[R]]:
        """Answer with the heads that are served.

        If one was replaced since the request found it, there is one more attempt with the heads
        that are served then.
        """
        heads = request.heads
        try:
            return heads, await request.attempt(heads, request.timings, request.notes)
        except StaleModelError:
            served = [await self._served.refresh_head(head) for head in heads]
            renewed = [head for head in served if head is not None]
            if len(renewed) < len(heads):
                raise
        return renewed, await request.attempt(renewed, request.timings, request.notes)
