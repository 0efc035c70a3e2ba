"""The gateway's side of the program that cuts recordings: one piece after the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from omnivec2 import errors
from omnivec2.errors import InputError, InvalidInputError, TooLargeError
from omnivec2.preprocess.notes import Note, NoteCode
from omnivec2.spec import Modality
from service.pipeline.host_stages import FileInput

_PIECE_SECONDS = 120.0
"""The longest time that one piece may take to be cut."""


@dataclass(frozen=True)
class CutSettings:
    """How a recording is cut.

    Attributes:
        seconds: The longest recording.
        piece_seconds: The length of a piece.
        piece_bytes: The largest file of a piece.
        memory_bytes: The memory that the program may take.
    """

    seconds: float
    piece_seconds: float
    piece_bytes: int
    memory_bytes: int


@asynccontextmanager
async def cut_recording(
    modality: Modality,
    path: Path,
    directory: Path,
    settings: CutSettings,
    on_total: Callable[[int], None],
    on_notes: Callable[[Sequence[Note]], None],
) -> AsyncIterator[AsyncIterator[FileInput]]:
    """Yield the pieces of a recording, which are made as they are asked for.

    Args:
        modality: The modality of the recording, one of ``recording_pieces.CUTTERS``.
        path: The recording.
        directory: The directory in which pieces may lie for a while.
        settings: The settings of the cut.
        on_total: The callback for the number of pieces, as far as it is known.
        on_notes: The callback for the notes on the whole recording.

    Raises:
        InputError: It cannot be read, is too long or cannot be cut.
    """
    environment = os.environ | {
        **{"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    with tempfile.TemporaryDirectory(dir=directory, prefix="pieces-") as own:
        numbers = astuple(settings)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.jobs.cutting.piece_writer", modality.value),
            *(str(path.absolute()), own, *map(str, numbers)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        try:
            yield _pieces(process, Path(own), on_total, on_notes)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _pieces(
    process: asyncio.subprocess.Process,
    directory: Path,
    on_total: Callable[[int], None],
    on_notes: Callable[[Sequence[Note]], None],
) -> AsyncIterator[FileInput]:
    assert process.stdin is not None
    while "end" not in (message := await _next_message(process)):
        on_total(message["total"])
        path = directory / message["piece"]
        data = await asyncio.to_thread(path.read_bytes)
        await asyncio.to_thread(path.unlink)
        yield FileInput(data)
        del data
        with contextlib.suppress(ConnectionError):  # its end is seen at the next message
            process.stdin.write(b"\n")
            await process.stdin.drain()
    on_notes([Note(NoteCode(code), *rest) for code, *rest in message["notes"]])


async def _next_message(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_PIECE_SECONDS):
            line = await process.stdout.readline()
    except TimeoutError as error:
        raise TooLargeError(
            f"a piece of the recording takes longer than {_PIECE_SECONDS:g} s to be cut",
            field="inputs",
        ) from error
    if not line:
        raise InvalidInputError(
            "the program that cuts recordings crashed on this one; it is damaged, or of a kind that"
            " cannot be cut",
            field="inputs",
        )
    message: dict[str, Any] = json.loads(line)
    if (kind := message.get("refused")) is not None:
        found: type[InputError] = getattr(errors, kind)
        raise found(message["message"], field=message["field"])
    return message
