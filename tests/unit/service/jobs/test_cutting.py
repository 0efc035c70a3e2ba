"""The program that cuts recordings, and the gateway's side of it."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from omnivec2.errors import InputError, InvalidInputError, TooLargeError
from omnivec2.preprocess.formats.media import recording_pieces
from omnivec2.spec import Modality
from service.jobs.cutting import piece_reader, piece_writer
from service.jobs.cutting.piece_reader import CutSettings, cut_recording
from tests.support.sample_files.sounds import tones, written


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound"
    path.write_bytes(written(tones(7)))
    return path


def said(monkeypatch: pytest.MonkeyPatch, path: Path, answers: str, seconds: str = "60") -> Any:
    """What the program writes, asked for pieces by lines."""
    out = io.StringIO()
    monkeypatch.setattr(piece_writer, "limit_process", lambda _: None)
    monkeypatch.setattr(
        sys, "argv", ["", "audio", str(path), str(path.parent), seconds, "3", "1000000", "1"]
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO(answers))
    monkeypatch.setattr(sys, "stdout", out)
    piece_writer.main()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_the_program_names_each_piece_and_the_end(
    monkeypatch: pytest.MonkeyPatch, sound: Path
) -> None:
    lines = said(monkeypatch, sound, "\n\n\n")
    assert lines == [
        {"piece": "piece-000000.wav", "total": 2},
        {"piece": "piece-000001.wav", "total": 2},
        {"end": True, "notes": []},
    ]
    assert all((sound.parent / line["piece"]).is_file() for line in lines[:2])


def test_the_program_ends_with_the_gateway(monkeypatch: pytest.MonkeyPatch, sound: Path) -> None:
    assert len(said(monkeypatch, sound, "")) == 1


@pytest.mark.parametrize(
    ("error", "name"),
    [(MemoryError(), "TooLargeError"), (ValueError("a defect"), "UndecodableError")],
)
def test_whatever_fails_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, sound: Path, error: Exception, name: str
) -> None:
    def fail(*_: object) -> Any:
        raise error

    monkeypatch.setattr(recording_pieces, "CUTTERS", {Modality.AUDIO: fail})
    (line,) = said(monkeypatch, sound, "")
    assert (line["refused"], line["field"]) == (name, "inputs")
    assert "defect" not in line["message"]


def test_a_recording_that_is_too_long_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, sound: Path
) -> None:
    (line,) = said(monkeypatch, sound, "", seconds="2")
    assert (line["refused"], "2 seconds" in line["message"]) == ("TooLargeError", True)


async def cut(path: Path, directory: Path, settings: CutSettings) -> tuple[list[int], list[int]]:
    """The bytes of the pieces, and the totals that were stated."""
    totals: list[int] = []
    async with cut_recording(
        Modality.AUDIO, path, directory, settings, totals.append, lambda _: None
    ) as pieces:
        return [piece.nbytes async for piece in pieces], totals


SETTINGS = CutSettings(60, 3, 2**20, 2**30)


def test_pieces_come_one_after_the_other_and_nothing_is_left(sound: Path, tmp_path: Path) -> None:
    directory = tmp_path / "work"
    directory.mkdir()
    sizes, totals = asyncio.run(cut(sound, directory, SETTINGS))
    assert len(sizes) == 2
    assert totals == [2, 2]
    assert not list(directory.iterdir())


def test_a_program_that_crashes_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, sound: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(InvalidInputError, match="crashed"):
        asyncio.run(cut(sound, tmp_path, SETTINGS))


def test_a_program_that_hangs_is_ended(
    monkeypatch: pytest.MonkeyPatch, sound: Path, tmp_path: Path
) -> None:
    program = tmp_path / "hangs"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(piece_reader, "_PIECE_SECONDS", 0.05)
    with pytest.raises(TooLargeError, match="takes longer"):
        asyncio.run(cut(sound, tmp_path, SETTINGS))


def test_a_refusal_of_the_program_is_raised(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="longer than 5 seconds") as caught:
        asyncio.run(cut(sound, tmp_path, CutSettings(5, 3, 2**20, 2**30)))
    assert isinstance(caught.value, InputError)
    assert caught.value.field == "inputs"
