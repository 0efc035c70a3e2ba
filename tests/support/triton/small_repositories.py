"""Model repositories with no more processes of Triton than a test needs.

Every instance of every model is a process of its own here, whose start costs more processor time
than most requests of a test.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from omnivec2.model_config import CONFIG_FILE, read_config, read_steps

_TWO = "count: 2"


def keep_one_instance(model_repo: Path) -> Path:
    """Let Triton start one instance of every model instead of two, and return the repository.

    A caller who sends one request after the other then waits half a second now and then.
    """
    for path in model_repo.glob(f"*/{CONFIG_FILE}"):
        path.write_text(path.read_text("utf-8").replace(_TWO, "count: 1"), "utf-8")
    return model_repo


def keep_models(model_repo: Path, names: Collection[str]) -> Path:
    """Remove all models but these and the parts that they consist of; return the repository."""
    kept = set(names)
    for name in names:
        kept |= {step.model for step in read_steps(read_config(model_repo / name / CONFIG_FILE))}
    for path in model_repo.glob(f"*/{CONFIG_FILE}"):
        if path.parent.name not in kept:
            shutil.rmtree(path.parent)
    return model_repo
