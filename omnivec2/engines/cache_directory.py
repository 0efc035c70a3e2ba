"""The directory of what is measured, compiled and traced here, to be quick the next time."""

from __future__ import annotations

import tempfile
from pathlib import Path

DEFAULT_CACHE = Path("~/.cache/omnivec2")
"""The directory unless ``OMNIVEC2_CACHE_DIR`` names another."""


def resolve_cache(path: Path = DEFAULT_CACHE) -> Path:
    """Return a directory with ``~`` resolved; a temporary one for a user without a home.

    Args:
        path: The directory as it was named.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "omnivec2"
