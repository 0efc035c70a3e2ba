"""What others have reached, from a file of the documents."""

from __future__ import annotations

from pathlib import Path

import yaml


def published_figures(file: Path) -> dict[str, str]:
    """Return what others have reached, by route; nothing if there is no such file."""
    if not file.is_file():
        return {}
    entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {route: entry["published"] for route, entry in entries.items() if "published" in entry}
