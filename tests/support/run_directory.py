"""The temporary directory that all workers of a test run share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory for what one worker makes, behind a lock, and the others only read."""
    own = tmp_path_factory.getbasetemp()
    # The directory of a worker lies in the one of the whole run.
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
