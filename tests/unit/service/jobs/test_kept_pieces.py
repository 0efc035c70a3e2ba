"""Computed pieces of a job are kept for its next attempt, and used only if they can be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from omnivec2.preprocess.notes import Note, NoteCode
from service.jobs.cutting import kept_pieces
from service.jobs.cutting.kept_pieces import ComputedPiece, KeptPieces
from service.jobs.stores.job_store import Claim, JobStoreAwayError
from service.jobs.stores.sqlite_store import SqliteJobStore
from tests.support.service_parts.job_stores import LIMITS, added

NOTE = Note(NoteCode.EMPTY, "it is silent", "inputs", 3)


def piece(number: int) -> ComputedPiece:
    rows = np.full((2, 3), number, np.float32)
    return ComputedPiece({"events": {"logits": rows, "a/b": rows[:, :1]}}, (NOTE,))


Check = Callable[[SqliteJobStore, Claim], Awaitable[None]]


def run(directory: Path, check: Check) -> None:
    async def main() -> None:
        store = SqliteJobStore(directory, LIMITS)
        await store.open()
        await added(store)
        claim = await store.claim("a", 0)
        assert claim is not None
        await check(store, claim)
        await store.close()

    asyncio.run(main())


def test_all_but_the_last_piece_need_not_be_computed_again(tmp_path: Path) -> None:
    async def check(store: SqliteJobStore, claim: Claim) -> None:
        first = KeptPieces(store, claim)
        assert await first.load("maker") == []
        for number in range(3):
            await first.keep(number, piece(number), "maker")
        kept = KeptPieces(store, claim)
        found = await kept.load("maker")
        assert len(found) == 2
        assert found[1].notes == [NOTE]
        assert found[1].outputs["events"].keys() == {"logits", "a/b"}
        np.testing.assert_array_equal(found[1].outputs["events"]["logits"], np.ones((2, 3)))
        assert found[1].outputs["events"]["logits"].dtype == np.float32
        before = await store.pieces(claim.job.id)
        await kept.keep(2, piece(2), "maker")
        assert await store.pieces(claim.job.id) == before, "it was there already"
        await kept.keep(3, piece(3), "maker")
        assert len(await store.pieces(claim.job.id)) == 4

    run(tmp_path, check)


def test_pieces_of_other_versions_are_replaced(tmp_path: Path) -> None:
    async def check(store: SqliteJobStore, claim: Claim) -> None:
        first = KeptPieces(store, claim)
        for number in range(3):
            await first.keep(number, piece(number), "old")
        kept = KeptPieces(store, claim)
        assert await kept.load("new") == []
        await kept.keep(0, piece(7), "new")
        assert len(await store.pieces(claim.job.id)) == 1

    run(tmp_path, check)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_pieces_that_cannot_be_read_are_computed_again(tmp_path: Path, data: bytes) -> None:
    async def check(store: SqliteJobStore, claim: Claim) -> None:
        first = KeptPieces(store, claim)
        for number in range(2):
            await first.keep(number, piece(number), "maker")
        await store.keep_piece(claim, 2, data)
        kept = KeptPieces(store, claim)
        assert len(await kept.load("maker")) == 1
        assert await kept.last_attempt() == 0
        await kept.keep(2, piece(2), "maker")
        assert len(await KeptPieces(store, claim).load("maker")) == 2

    run(tmp_path, check)


def test_the_bytes_of_a_job_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_pieces, "_MOST_BYTES", 3000)

    async def check(store: SqliteJobStore, claim: Claim) -> None:
        kept = KeptPieces(store, claim)
        for number in range(20):
            await kept.keep(number, piece(number), "maker")
        pieces = await store.pieces(claim.job.id)
        assert 1 <= len(pieces) < 20
        assert sum(map(len, pieces)) <= 3000

    run(tmp_path, check)


def test_a_store_that_is_away_gets_the_pieces_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def check(store: SqliteJobStore, claim: Claim) -> None:
        async def fail(*_: object) -> bool:
            raise JobStoreAwayError("away")

        kept = KeptPieces(store, claim)
        with monkeypatch.context() as away:
            away.setattr(store, "keep_piece", fail)
            away.setattr(store, "pieces", fail)
            assert await kept.load("maker") == []
            await kept.keep(0, piece(0), "maker")
        await kept.keep(1, piece(1), "maker")
        assert len(await store.pieces(claim.job.id)) == 2
        assert "are not kept: away" in caplog.text

    run(tmp_path, check)
