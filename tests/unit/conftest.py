"""Fixtures of all unit tests, which are run under coverage."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator

import pytest

from tests.support.coverage_pauses import pause_in_libraries


@pytest.fixture(scope="session", autouse=True)
def _faster_libraries() -> Iterator[None]:
    """Take from exports and plots what coverage costs there, and what they repeat."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        pause_in_libraries(monkeypatch)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Measure no coverage of a test that is marked ``uncounted``."""
    if item.get_closest_marker("uncounted") is None:
        return (yield)
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)
