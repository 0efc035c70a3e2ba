"""Fixtures of the tests of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """The settings of a gateway with a store of jobs of its own."""
    return {"jobs_store": "sqlite", "jobs_dir": tmp_path / "jobs", "isolate_decoders": False}
