"""Print how many lines of Python each package has, and how many lines of tests there are for it.

    python scripts/code_size.py

Lines that are blank are not counted. Unit tests count for the package that their folder mirrors;
integration tests and what tests share are in rows of their own.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ("network", "postprocess", "preprocess", "training")
"""Packages of ``omnivec2`` whose tests have folders of their own right below tests/unit."""


def main() -> int:
    """Print a row per package and the ratio of tests to code."""
    code: Counter[str] = Counter()
    tests: Counter[str] = Counter()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        path = Path(name)
        if (ROOT / path).is_file():
            lines = sum(1 for line in (ROOT / path).open() if line.strip())
            (tests if path.parts[0] == "tests" else code)[_package(path)] += lines
    table = Table(title="lines of Python that are not blank")
    for column in ("package", "code", "tests", "tests : code"):
        table.add_column(column, justify="left" if column == "package" else "right")
    for package in sorted(code.keys() | tests.keys()):
        ratio = f"{tests[package] / code[package]:.2f}" if code[package] else ""
        table.add_row(package, str(code[package] or ""), str(tests[package] or ""), ratio)
    table.add_section()
    whole = (code.total(), tests.total())
    table.add_row("all", *map(str, whole), f"{whole[1] / whole[0]:.2f}")
    Console(width=80).print(table)
    return 0


def _package(path: Path) -> str:
    """Return the package that a module is part of, or that a test is about."""
    parts = path.parts
    if parts[:2] == ("tests", "unit"):
        parts = parts[2:]
        if len(parts) == 1 or parts[0] in LIBRARY:
            return "omnivec2"
        return parts[0]
    return f"tests/{parts[1]}" if parts[0] == "tests" and len(parts) > 2 else parts[0]


if __name__ == "__main__":
    sys.exit(main())
