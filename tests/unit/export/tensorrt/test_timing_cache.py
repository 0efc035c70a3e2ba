from __future__ import annotations

from pathlib import Path

import pytest

from export.tensorrt.plan_builder import use_timing_cache
from omnivec2.errors import ExportError


class Config:
    """A builder configuration that knows its own caches by how they begin."""

    def create_timing_cache(self, earlier: bytes) -> bytes:
        return earlier or b"mine: empty"

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        return ignore_mismatch or cache.startswith(b"mine")


def test_without_a_file_no_cache_is_used(tmp_path: Path) -> None:
    assert use_timing_cache(Config(), None) is None
    assert use_timing_cache(Config(), tmp_path / "new.cache") == b"mine: empty"


def test_what_was_measured_before_is_given_to_the_builder(tmp_path: Path) -> None:
    (tmp_path / "timing.cache").write_bytes(b"mine: 12 kernels")
    assert use_timing_cache(Config(), tmp_path / "timing.cache") == b"mine: 12 kernels"


def test_a_cache_of_another_gpu_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "timing.cache").write_bytes(b"theirs")
    with pytest.raises(ExportError, match=r"timing\.cache: not a timing cache of this GPU"):
        use_timing_cache(Config(), tmp_path / "timing.cache")
