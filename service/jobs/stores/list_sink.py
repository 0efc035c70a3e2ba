"""Bodies of jobs in lists of a Valkey or Redis, while they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.jobs.stores.job_queue import Call

if TYPE_CHECKING:
    from redis.asyncio import Redis

_CHUNK_BYTES = 2**20
"""The bytes of one piece of a body."""

_UPLOAD_SECONDS = 3600
"""The time after which the pieces of a body are removed that never became a job."""


class ListSink:
    """A body that is written to a list in the store.

    Args:
        call: A function that uses the store.
        key: The name of the list.
    """

    def __init__(self, call: Call, key: str) -> None:
        self._call = call
        self._key = key
        self._waiting = bytearray()

    async def write(self, chunk: bytes) -> None:
        """Add a piece, which is sent with others; see ``BodySink.write``."""
        self._waiting += chunk
        while len(self._waiting) >= _CHUNK_BYTES:
            await self._push(bytes(self._waiting[:_CHUNK_BYTES]))
            del self._waiting[:_CHUNK_BYTES]

    async def flush(self) -> None:
        """Send what is left."""
        if self._waiting:
            await self._push(bytes(self._waiting))
            self._waiting.clear()

    async def discard(self) -> None:
        """Remove the list; see ``BodySink.discard``."""
        await self._call(lambda client: client.delete(self._key))

    async def _push(self, piece: bytes) -> None:
        async def push(client: Redis) -> None:
            async with client.pipeline(transaction=True) as pipeline:
                pipeline.rpush(self._key, piece)
                pipeline.expire(self._key, _UPLOAD_SECONDS)
                await pipeline.execute()

        await self._call(push)
