"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.requests.http_clients import share_certificates

share_certificates()

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores already; a pool of threads in each would fight over them.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Servers are started by executing another program: where gRPC's clients of tests prepare for a bare
# fork all the same, the child may be ended by their threads before it gets there.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# What servers of tests measure and compile for this machine is kept for one another, apart from
# what the user's own servers have measured.
os.environ["OMNIVEC2_CACHE_DIR"] = str(Path(__file__).resolve().parents[1] / ".cache" / "tests")

# Looks at the test parts of tiny data sets are no looks at those of the reference network.
os.environ["OMNIVEC2_TEST_LOOKS"] = str(
    Path(__file__).resolve().parents[1] / ".cache" / "tests" / "test-looks.jsonl"
)

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first: workers take files in this order."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The directory of the real data sets; tests that need it skip where it is not there."""
    place = Path(os.environ.get("OMNIVEC2_DATA", _BESIDE))
    if not place.is_dir():
        pytest.skip(f"the data sets are not at {place}; set OMNIVEC2_DATA to where they are")
    return place
