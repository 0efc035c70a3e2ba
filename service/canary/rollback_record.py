"""The rollbacks of this process, until the repository says so too and other gateways can see it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path

from omnivec2.canary.canary_state import Canary, CanaryStatus, end_canary
from omnivec2.errors import ArtifactError

_LOG = logging.getLogger(__name__)


class RollbackRecord:
    """The canaries that this process has ended, and the writing of that into the repository.

    Args:
        repository: The model repository; it may be read-only.
    """

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        # Canaries by route and start, and how they ended.
        self._ended: dict[tuple[str, object], Canary] = {}
        self._unrecorded: set[tuple[str, object]] = set()
        self._warned: set[tuple[str, object]] = set()
        self._recording: set[asyncio.Task[None]] = set()

    @property
    def unrecorded(self) -> int:
        """The canaries that ended here although the repository does not say so yet."""
        return len(self._unrecorded)

    def known_end(self, canary: Canary) -> Canary:
        """Return a canary as this process knows it: ended, if it was ended here."""
        return self._ended.get(_key(canary), canary) if canary.is_running else canary

    def roll_back(self, canary: Canary, reason: str) -> Canary:
        """End a canary here at once, and start to write that into the repository.

        Args:
            canary: The canary, which is running.
            reason: The reason, as operators read it.

        Returns:
            The canary as it ended.
        """
        by = f"gateway on {socket.gethostname()} ({os.getpid()})"
        ended = canary.end(CanaryStatus.ROLLED_BACK, reason, by)
        self._ended[_key(canary)] = ended
        self._unrecorded.add(_key(canary))
        task = asyncio.create_task(self._record(ended))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)
        return ended

    async def retry(self) -> None:
        """Try again to write what could not be written."""
        for key in list(self._unrecorded):
            await self._record(self._ended[key])

    async def close(self) -> None:
        """Finish what is being written."""
        if self._recording:
            await asyncio.wait(self._recording)

    async def _record(self, ended: Canary) -> None:
        """Write the end of a canary into the repository; where that fails, try again later."""
        values = (ended.route, ended.version, ended.status, ended.reason, ended.by)
        try:
            await asyncio.to_thread(end_canary, self._repository, *values)
        except (OSError, ArtifactError) as error:
            level = logging.DEBUG if _key(ended) in self._warned else logging.WARNING
            self._warned.add(_key(ended))
            _LOG.log(
                level,
                "%s: that version %s is rolled back cannot be written into %s (%s): other gateways "
                "may still use it; `omnivec2 head rollback %s` ends it for all",
                *(ended.route, ended.version, self._repository, error, ended.route),
            )
            return
        self._unrecorded.discard(_key(ended))


def _key(canary: Canary) -> tuple[str, object]:
    return canary.route, canary.started
