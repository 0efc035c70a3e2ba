"""Replacing directories of a repository, with a way back."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from omnivec2.atomic_files import link_tree, replace_directory
from omnivec2.errors import OmniVecError
from omnivec2.model_config import CONFIG_FILE
from omnivec2.passport import PASSPORT_FILE, load_passport
from rollout.triton_control import TritonControl

CANDIDATE_PREFIX = "head_candidate_"
"""The prefix of a model that is checked in Triton before it replaces another."""


class Swap:
    """Directories that were moved into place, and can be moved back.

    Args:
        repository: The repository.
        staging: A directory on the same disk, with the new models.
    """

    def __init__(self, repository: Path, staging: Path) -> None:
        self._repository, self._staging = repository, staging
        self.placed: list[str] = []

    def place(self, name: str) -> None:
        """Move a staged directory into the repository, after a backup of the one of its name."""
        target = self._repository / name
        if target.exists():
            link_tree(target, self._backup(name))
        self.placed.append(name)
        replace_directory(self._staging / name, target)

    def place_candidate(self, name: str, config: str) -> None:
        """Copy a staged directory into the repository under the name of a candidate."""
        target = self._staging / f"{CANDIDATE_PREFIX}{name}"
        link_tree(self._staging / name, target)
        (target / CONFIG_FILE).unlink()
        (target / CONFIG_FILE).write_text(config, "utf-8")
        for passport in target.glob(f"*/{PASSPORT_FILE}"):
            own = load_passport(passport).model_copy(update={"model": target.name})
            passport.unlink()
            passport.write_text(own.model_dump_json(), "utf-8")
        replace_directory(target, self._repository / target.name)

    def remove_candidate(self, name: str) -> None:
        """Remove a candidate from the repository."""
        shutil.rmtree(self._repository / f"{CANDIDATE_PREFIX}{name}", ignore_errors=True)

    def roll_back(self) -> list[str]:
        """Restore everything and return the names that existed before."""
        before = []
        for name in reversed(self.placed):
            if self._backup(name).exists():
                replace_directory(self._backup(name), self._repository / name)
                before.append(name)
            else:
                shutil.rmtree(self._repository / name, ignore_errors=True)
        return before

    def _backup(self, name: str) -> Path:
        return self._staging / f"old-{name}"


@contextlib.contextmanager
def rolled_back_on_failure(
    repository: Path, staging: Path, servers: Sequence[TritonControl]
) -> Iterator[Swap]:
    """Yield a swap; if anything fails inside, roll it back, on the servers too."""
    swap = Swap(repository, staging)
    try:
        yield swap
    except BaseException:
        before = swap.roll_back()
        for server in servers:
            for name in swap.placed:
                # A server that is down, or never had the model, has nothing to restore.
                with contextlib.suppress(OmniVecError):
                    server.load(name) if name in before else server.unload(name)
        raise
