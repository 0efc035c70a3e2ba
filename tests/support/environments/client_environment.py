"""The environment of other libraries' clients, which `make install-clients` makes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.documents import ROOT

PYTHON = ROOT / ".venv-clients" / "bin" / "python"

# Nothing of these libraries may look for its authors' servers, or for the user's settings.
_QUIET = {
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ANONYMIZED_TELEMETRY": "False",
    "LANGCHAIN_TRACING_V2": "false",
    "NO_PROXY": "127.0.0.1",
}


def run_with_clients(*arguments: str, cwd: Path | None = None, seconds: float = 240) -> str:
    """Run Python of that environment and return what it prints.

    Args:
        arguments: The arguments of the interpreter: a script and its own ones.
        cwd: The directory in which it runs.
        seconds: The longest time that it may take.
    """
    if not PYTHON.exists():
        pytest.skip("the clients of other libraries are not installed: make install-clients")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(PYTHON), *arguments],
        cwd=cwd,
        env={**environment, **_QUIET},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
