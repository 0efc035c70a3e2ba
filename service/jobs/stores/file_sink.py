"""Bodies of jobs in files, while they arrive."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from service.jobs.stores.job_store import JobStoreAwayError


class FileSink:
    """A body that is written to a file.

    Args:
        path: The path of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def write(self, chunk: bytes) -> None:
        """Add a piece; see ``BodySink.write``."""
        try:
            await asyncio.to_thread(self._append, chunk)
        except OSError as error:
            raise JobStoreAwayError(
                f"the body of the job cannot be kept: {error.strerror}"
            ) from error

    async def flush(self) -> None:
        """Make sure that there is a file, even of an empty body; see ``BodySink.flush``."""
        await self.write(b"")

    async def discard(self) -> None:
        """Remove the file; see ``BodySink.discard``."""
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    def _append(self, chunk: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(chunk)
