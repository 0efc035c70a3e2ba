"""Bodies of jobs: from a request into the store, and from a file to the reader of requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from omnivec2.errors import TooLargeError

_CHUNK_BYTES = 2**18


class FileBody:
    """A body that is in a file, read as that of a request is.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self, limit: int) -> bytes:
        """Return the whole body; see ``Body.read``.

        Raises:
            TooLargeError: It is larger than the limit.
        """
        self._check(limit)
        return await asyncio.to_thread(self._path.read_bytes)

    async def chunks(self, limit: int) -> AsyncGenerator[bytes, None]:
        """Yield the body piece by piece; see ``Body.chunks``.

        Raises:
            TooLargeError: It is larger than the limit.
        """
        self._check(limit)
        with self._path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                yield chunk

    def _check(self, limit: int) -> None:
        if self._path.stat().st_size > limit:
            raise TooLargeError(f"the body is larger than {limit:,} bytes", field="body")
