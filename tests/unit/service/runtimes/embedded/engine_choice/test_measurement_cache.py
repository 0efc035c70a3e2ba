"""Measurements are kept per machine, and a machine is its processor with what it may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.runtimes.embedded.engine_choice.measurement_cache import (
    MeasurementCache,
    machine_digest,
)

CPU = """processor\t: {number}
model name\t: A Processor
cpu MHz\t\t: {mhz}
flags\t\t: {flags}
"""


def cpuinfo(path: Path, *, mhz: str = "3000.0", flags: str = "avx2 avx512f") -> Path:
    path.write_text("\n".join(CPU.format(number=n, mhz=mhz, flags=flags) for n in range(2)))
    return path


def test_numbers_are_there_at_the_next_start(tmp_path: Path) -> None:
    cache = MeasurementCache(tmp_path / "new" / "directory")
    assert cache.get("a") is None
    cache.put("a", 0.25)
    cache.save()
    assert MeasurementCache(tmp_path / "new" / "directory").get("a") == 0.25


def test_nothing_is_written_where_nothing_was_measured(tmp_path: Path) -> None:
    MeasurementCache(tmp_path / "cache").save()
    assert not (tmp_path / "cache").exists()


def test_a_machine_is_known_by_its_instruction_sets_and_not_by_its_clock(tmp_path: Path) -> None:
    own = machine_digest(cpuinfo(tmp_path / "own"))
    assert machine_digest(cpuinfo(tmp_path / "warm", mhz="2100.0")) == own
    assert machine_digest(cpuinfo(tmp_path / "other", flags="avx2")) != own
    assert machine_digest(tmp_path / "missing") != own


def test_instruction_sets_that_are_taken_away_make_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = machine_digest(cpuinfo(tmp_path / "own"))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert machine_digest(tmp_path / "own") != own
