"""Coverage of properties is measured with their first seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

COUNTED_SEEDS = 3
"""Later seeds draw other numbers and reach no other line."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the later seeds of every property of this folder as ``uncounted``."""
    for item in items:
        if item.path.parent == Path(__file__).parent and isinstance(item, pytest.Function):
            seed = item.callspec.params.get("seed", 0) if hasattr(item, "callspec") else 0
            if seed >= COUNTED_SEEDS:
                item.add_marker("uncounted")
