"""The reference network's ``config.pbtxt`` of both layouts, checked in to be reviewed like code.

::

    make configs                                          write them
    python -m export.repository.checked_in_configs --check    fail if they are out of date

The shared layout's lie where the repository is assembled by default, ``model_repo/``; the
fused layout's under ``deploy/triton/fused/``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from export.repository.layouts import Layout, plan
from omnivec2.checkpoint import read_checkpoint
from omnivec2.model_config import CONFIG_FILE

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "checkpoints" / "reference"
PLACES: Mapping[Layout, Path] = {
    Layout.SHARED: ROOT / "model_repo",
    Layout.FUSED: ROOT / "deploy" / "triton" / "fused",
}


def expected() -> dict[Path, str]:
    """File -> the text it should have."""
    source = read_checkpoint(CHECKPOINT)
    return {
        place / model.name / CONFIG_FILE: model.config
        for layout, place in PLACES.items()
        for model in plan(source, layout)
    }


def main() -> int:
    """Write the files, or say which are out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of date")
    check = parser.parse_args().check
    texts = expected()
    there = {path for place in PLACES.values() for path in place.glob(f"*/{CONFIG_FILE}")}
    changed = [
        path for path, text in texts.items() if path not in there or path.read_text() != text
    ]
    stale = sorted([*changed, *(there - texts.keys())])
    if check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date; run `make configs`", file=sys.stderr)
        return 1 if stale else 0
    for path in there - texts.keys():
        path.unlink()
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path], "utf-8")
    print(f"{len(texts)} configurations, {len(stale)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
