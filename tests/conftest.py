"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores already; a pool of threads in each would fight over them.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# What servers of tests measure and compile for this machine is kept for one another, apart from
# what the user's own servers have measured.
os.environ["OMNIVEC2_CACHE_DIR"] = str(Path(__file__).resolve().parents[1] / ".cache" / "tests")

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The directory of the real data sets; tests that need it skip where it is not there."""
    place = Path(os.environ.get("OMNIVEC2_DATA", _BESIDE))
    if not place.is_dir():
        pytest.skip(f"the data sets are not at {place}; set OMNIVEC2_DATA to where they are")
    return place
