"""Bad entries of annotation files: raised, or collected so that all of them are listed."""

from __future__ import annotations

from collections.abc import Callable

from omnivec2.errors import ArtifactError

Report = Callable[[str, str], None]
"""A callback for a bad entry. It gets the place (file, and row or entry) and what is wrong; if
it returns, the reader leaves the entry out and continues."""


def raise_problem(place: str, message: str) -> None:
    """Raise the first bad entry.

    Raises:
        ArtifactError: Always; the message begins with the place.
    """
    raise ArtifactError(f"{place}: {message}")
