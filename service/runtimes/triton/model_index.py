"""Triton's index of its repository: which models are ready, and why others are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

# Reasons in the index of a model that is unavailable on purpose.
_NEVER_LOADED, _UNLOADED = "", "unloaded"
_INTENDED = frozenset({_NEVER_LOADED, _UNLOADED})


@dataclass(frozen=True)
class ModelIndex:
    """What a repository index says.

    Attributes:
        ready: The names and versions of the models that are ready.
        newest: A map from the names of the models that are ready to their newest versions.
        unloaded: The models that the server has not loaded, and nobody unloaded.
        refused: A map from the models that could not be loaded to the reason.
    """

    ready: frozenset[tuple[str, str]]
    newest: dict[str, str]
    unloaded: frozenset[str]
    refused: dict[str, str]

    @classmethod
    def from_entries(cls, entries: Sequence[Any]) -> Self:
        """Make it of Triton's entries, of which there is one per version."""
        ready = frozenset(
            (entry.name, entry.version) for entry in entries if entry.state == "READY"
        )
        newest: dict[str, str] = {}
        for name, version in ready:
            newest[name] = max(version, newest.get(name, "0"), key=int)
        others = [entry for entry in entries if entry.name not in newest]
        return cls(
            ready,
            newest,
            frozenset(e.name for e in others if e.reason == _NEVER_LOADED),
            {
                # A backend's traceback follows the first line.
                entry.name: f"{entry.name}: {entry.reason.strip().partition(chr(10))[0]}"
                for entry in others
                if entry.state == "UNAVAILABLE" and entry.reason not in _INTENDED
            },
        )
