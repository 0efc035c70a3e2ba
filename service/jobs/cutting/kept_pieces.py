"""The computed pieces of a job, kept in its store so that the next attempt goes on behind them.

::

    piece 0, 1, 2 computed ─► keep ─► store        the gateway dies
    the next attempt ─► load: 0, 1 ─► 2 is computed again, then 3, 4, …

A piece is a few numbers per window: the network's outputs. The last one that is kept is computed
again, because what post-processing needs to know besides is not kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from omnivec2.preprocess import Array
from omnivec2.preprocess.notes import Note, NoteCode
from service.jobs.stores.job_store import Claim, JobStore, JobStoreAwayError
from service.pipeline.host_stages import Head

_LOG = logging.getLogger(__name__)

_MOST_BYTES = 8 * 2**20
"""The most bytes of the pieces of one job that are kept; those behind them are computed again."""

_ABOUT = "about"


@dataclass(frozen=True)
class ComputedPiece:
    """What the network made of one piece of a recording.

    Attributes:
        outputs: The outputs of each head: task -> name -> array (windows, ...).
        notes: The notes on the piece.
    """

    outputs: Mapping[str, Mapping[str, Array]]
    notes: Sequence[Note] = ()


class KeptPieces:
    """The computed pieces of a job that a gateway works on.

    Args:
        store: The store of the job.
        claim: The claim on the job.
    """

    def __init__(self, store: JobStore, claim: Claim) -> None:
        self._store = store
        self._claim = claim
        self._stored = self._bytes = 0
        # Pieces that are still to be stored: the store may be away for a while.
        self._waiting: list[bytes] = []

    async def load(self, maker: str) -> list[ComputedPiece]:
        """Return the pieces that need not be computed, from the first on.

        Args:
            maker: The description of what makes pieces, as ``keep`` gets it; pieces that something
                else has made are of no use, and are replaced.
        """
        found: list[ComputedPiece] = []
        for data in await self._read():
            about, piece = _unpack(data)
            if piece is None or about["maker"] != maker:
                break
            found.append(piece)
            self._bytes += len(data)
        self._stored = len(found)
        return found[:-1]

    async def keep(self, index: int, piece: ComputedPiece, maker: str) -> None:
        """Keep a piece, if it is not kept yet and there is room; it never fails.

        Args:
            index: The number of the piece, from 0; pieces come one after the other.
            piece: The piece.
            maker: The description of what has made it.
        """
        if index != self._stored + len(self._waiting):
            return  # it is kept already, or one before it is not
        data = _pack(piece, {"maker": maker, "attempt": self._claim.job.attempts})
        if self._bytes + len(data) > _MOST_BYTES:
            return
        self._bytes += len(data)
        self._waiting.append(data)
        try:
            while self._waiting:
                await self._store.keep_piece(self._claim, self._stored, self._waiting[0])
                self._stored += 1
                del self._waiting[0]
        except JobStoreAwayError as error:
            _LOG.warning("job %s: its pieces are not kept: %s", self._claim.job.id, error)

    async def last_attempt(self) -> int:
        """Return the number of the last attempt that has kept a piece; 0 if none has."""
        kept = await self._read()
        return int(_unpack(kept[-1])[0].get("attempt", 0)) if kept else 0

    async def _read(self) -> Sequence[bytes]:
        try:
            return await self._store.pieces(self._claim.job.id)
        except JobStoreAwayError as error:
            _LOG.warning("job %s begins anew: %s", self._claim.job.id, error)
            return ()


def maker_of(heads: Sequence[Head], settings: Any) -> str:
    """Return a digest of all that makes pieces of a recording what they are.

    Args:
        heads: The heads that answer.
        settings: The settings of the cut, a dataclass.
    """
    made_by = [
        [
            *(head.spec.route, head.model.version, head.spec.checkpoint_digest),
            *(head.model.output_names, head.spec.preprocess.model_dump(mode="json")),
        ]
        for head in heads
    ]
    text = json.dumps([made_by, astuple(settings)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _pack(piece: ComputedPiece, about: Mapping[str, Any]) -> bytes:
    notes = [[note.code.value, note.text, note.field, note.count] for note in piece.notes]
    text = json.dumps({**about, "notes": notes}).encode()
    arrays = {
        json.dumps([task, name]): array
        for task, outputs in piece.outputs.items()
        for name, array in outputs.items()
    }
    file = io.BytesIO()
    np.savez(file, **arrays, **{_ABOUT: np.frombuffer(text, np.uint8)})  # type: ignore[arg-type]
    return file.getvalue()


def _unpack(data: bytes) -> tuple[Mapping[str, Any], ComputedPiece | None]:
    """Return what is said about a piece, and the piece; None if it cannot be read."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            about = json.loads(file[_ABOUT].tobytes())
            outputs: dict[str, dict[str, Array]] = {}
            for key in file.files:
                if key != _ABOUT:
                    task, name = json.loads(key)
                    outputs.setdefault(task, {})[name] = file[key]
        notes = [Note(NoteCode(code), *rest) for code, *rest in about["notes"]]
        return about, ComputedPiece(outputs, notes)
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        _LOG.warning("a kept piece of a job cannot be read: %r", error)
        return {}, None
