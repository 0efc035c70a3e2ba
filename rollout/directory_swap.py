"""Directories of a repository that are put into the place of others, and back again."""

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
"""Of a model that is tried in Triton before it takes the place of another."""


class Swap:
    """Directories that were moved into place, and how to move them back."""

    def __init__(self, repository: Path, staging: Path) -> None:
        self._repository, self._staging = repository, staging
        self.placed: list[str] = []

    def place(self, name: str) -> None:
        """Put a directory into the repository; the one of its name is kept aside."""
        there = self._repository / name
        if there.exists():
            link_tree(there, self._aside(name))
        self.placed.append(name)
        replace_directory(self._staging / name, there)

    def place_candidate(self, name: str, config: str) -> None:
        """Put a copy of what is staged into the repository under a name of its own."""
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
        """Take it out again."""
        shutil.rmtree(self._repository / f"{CANDIDATE_PREFIX}{name}", ignore_errors=True)

    def undo(self) -> list[str]:
        """Put everything back; the names that were there before."""
        before = []
        for name in reversed(self.placed):
            if self._aside(name).exists():
                replace_directory(self._aside(name), self._repository / name)
                before.append(name)
            else:
                shutil.rmtree(self._repository / name, ignore_errors=True)
        return before

    def _aside(self, name: str) -> Path:
        return self._staging / f"old-{name}"


@contextlib.contextmanager
def undone_on_failure(
    repository: Path, staging: Path, servers: Sequence[TritonControl]
) -> Iterator[Swap]:
    """Yield a swap; if anything fails inside, undo it, on the servers too."""
    swap = Swap(repository, staging)
    try:
        yield swap
    except BaseException:
        before = swap.undo()
        for server in servers:
            for name in swap.placed:
                # A server that is gone, or never had it: nothing is left to put right there.
                with contextlib.suppress(OmniVecError):
                    server.load(name) if name in before else server.unload(name)
        raise
