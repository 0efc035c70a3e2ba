from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from omnivec2.engines.cache_directory import resolve_cache


def test_it_lies_in_the_home_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_cache() == tmp_path / ".cache" / "omnivec2"
    assert resolve_cache(Path("/srv/kept")) == Path("/srv/kept")


def test_a_user_without_a_home_gets_a_temporary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    assert resolve_cache() == Path(tempfile.gettempdir()) / "omnivec2"
