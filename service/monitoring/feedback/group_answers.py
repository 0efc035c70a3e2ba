"""The answers of the other processes of a gateway: each answers for its own at a Unix socket.

A process that gets feedback on another's answer asks its siblings, so that an answer costs nothing
more when it is given. Questions and answers are one line of JSON each.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from service.monitoring.feedback.answer_record import AnswerMemory, AnswerRecord

_LOG = logging.getLogger(__name__)

_SUFFIX = ".feedback"
_TIMEOUT_SECONDS = 2.0
"""The longest wait for one process; the others are asked nevertheless."""
_MOST_LINE_BYTES = 2**18


class GroupAnswers:
    """The answers of all other processes of a group.

    Args:
        directory: The directory of the group's sockets.
        place: The place of this process in the group.
        own: The answers of this process, of which the others ask.
    """

    def __init__(self, directory: Path, place: int, own: AnswerMemory) -> None:
        self._directory = directory
        self._path = directory / f"{place}{_SUFFIX}"
        self._own = own
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer the others."""
        # Of the process before, which this one replaces.
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._serve, str(self._path), limit=_MOST_LINE_BYTES
        )

    async def close(self) -> None:
        """Stop answering. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        self._server = None

    async def find(self, request_id: str, key: str | None) -> AnswerRecord | None:
        """Return an answer of another process; see ``AnswerMemory.find``."""
        async for found in self._ask_all(["find", request_id, key]):
            if found is not None:
                return AnswerRecord.from_json(found)
        return None

    async def claim(self, request_id: str, key: str | None, route: str) -> bool:
        """Take the feedback of another's answer; see ``AnswerMemory.claim``."""
        async for taken in self._ask_all(["claim", request_id, key, route]):
            if taken:
                return True
        return False

    async def _ask_all(self, question: list[Any]) -> AsyncIterator[Any]:
        """Yield the answer of one process after another."""
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            if path != self._path:
                try:
                    async with asyncio.timeout(_TIMEOUT_SECONDS):
                        yield await _ask(path, question)
                except (OSError, TimeoutError, ValueError) as error:
                    _LOG.warning("process %s does not say what it answered: %s", path.stem, error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):  # the other has given up
            kind, *arguments = from_json(await reader.readline())
            answer: Any
            if kind == "find":
                found = await self._own.find(*arguments)
                answer = None if found is None else found.to_json().decode()
            else:
                answer = await self._own.claim(*arguments)
            writer.write(to_json(answer) + b"\n")
            await writer.drain()
        writer.close()


async def _ask(path: Path, question: list[Any]) -> Any:
    reader, writer = await asyncio.open_unix_connection(str(path), limit=_MOST_LINE_BYTES)
    try:
        writer.write(to_json(question) + b"\n")
        return from_json(await reader.readline())
    finally:
        writer.close()
