"""The reference heads' specs and passports in ``model_repo/``, tracked to be reviewed like code.

::

    make configs                                              write them
    python -m export.repository.tracked_side_files --check    fail if they are out of date

Assembly writes the same files beside each head's ``config.pbtxt``, which carries both on one line
each and is not tracked.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from export.exported_checkpoint import read_exported_checkpoint
from export.repository.layouts import Layout, plan
from omnivec2.model_config import HEAD_SPEC_FILE
from omnivec2.passport import PASSPORT_FILE

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "checkpoints" / "reference"
REPOSITORY = ROOT / "model_repo"


def expected() -> dict[Path, str]:
    """Return the texts that the tracked files should have, by path."""
    source = read_exported_checkpoint(CHECKPOINT)
    return {
        REPOSITORY / model.name / name: text
        for model in plan(source, Layout.SHARED)
        for name, text in model.side_files.items()
    }


def main() -> int:
    """Write the files, or list those that are out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of date")
    check = parser.parse_args().check
    texts = expected()
    names = (HEAD_SPEC_FILE, PASSPORT_FILE)
    present = {path for name in names for path in REPOSITORY.glob(f"*/{name}")}
    changed = [
        path for path, text in texts.items() if path not in present or path.read_text() != text
    ]
    outdated = sorted([*changed, *(present - texts.keys())])
    if check:
        for path in outdated:
            print(f"{path.relative_to(ROOT)} is out of date; run `make configs`", file=sys.stderr)
        return 1 if outdated else 0
    for path in present - texts.keys():
        path.unlink()
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path], "utf-8")
    print(f"{len(texts)} files, {len(outdated)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
