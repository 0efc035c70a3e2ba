"""Check that docstrings are sentences and that their ``Args:`` entries are noun phrases.

    python scripts/check_docstrings.py            list what is wrong, exit status 1 if anything is
    python scripts/check_docstrings.py --count    print the number of findings per folder

Ruff's pydocstyle rules see that a docstring is there, that it ends in a full stop and that it
documents every argument. Two rules of CONTRIBUTING.md remain, which are checked here for every
public name:

* The docstring of a function starts with a verb ("Return the ...", "Yields ..."), or with
  "Whether" where it returns a truth value. Properties and pytest fixtures may name a thing.
* An entry of ``Args:`` or ``Attributes:`` is a noun phrase with an article or another determiner,
  or starts with "Whether", and ends in a full stop.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "omnivec2",
    "omnivec2_api",
    "omnivec2_cli",
    "service",
    "export",
    "rollout",
    "loadtests",
    "deploy",
    "scripts",
)
VERBS = frozenset((Path(__file__).with_name("docstring_verbs.txt")).read_text().split())
DETERMINERS = frozenset(
    [
        *("a", "an", "the", "one", "two", "three", "four", "each", "every", "all", "any", "some"),
        *("no", "none", "its", "their", "this", "these", "those", "another", "other", "both"),
        *("either", "neither", "whether", "several", "many", "most", "more", "at", "up", "half"),
    ]
)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_ENTRY = re.compile(r"^( +)(\*{0,2}[A-Za-z_][\w, *]*)(?: \([^)]*\))?: (.*)$")
_SECTION = re.compile(r"^( *)(Args|Attributes|Class attributes):$")


@dataclass(frozen=True)
class Finding:
    """One docstring, or one entry of it, that is not written as it should be.

    Attributes:
        path: The file, relative to the repository.
        line: The line of the definition.
        message: The reason, in words.
    """

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def findings() -> Iterator[Finding]:
    """Yield what is wrong in any tracked module."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
        + [f"{package}/*.py" for package in PACKAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in sorted(filter(None, listed.split("\0"))):
        path = ROOT / name
        if path.is_file():
            yield from _check_module(path.relative_to(ROOT), ast.parse(path.read_text()))


def _check_module(path: Path, module: ast.Module) -> Iterator[Finding]:
    stack: list[ast.AST] = [module]
    while stack:
        node = stack.pop()
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, Definition) or child.name.startswith("_"):
                continue
            yield from _check_definition(path, child)
            if isinstance(child, ast.ClassDef):
                stack.append(child)


def _check_definition(path: Path, node: Definition) -> Iterator[Finding]:
    text = ast.get_docstring(node)
    if not text:
        return
    if not isinstance(node, ast.ClassDef) and not _is_property(node):
        first = re.split(r"[\s,:.]", text, maxsplit=1)[0].lower()
        if first not in VERBS and first != "whether":
            yield Finding(path, node.lineno, f"{node.name}: starts with {first!r}, not with a verb")
    for entry, description in _entries(text):
        word = re.split(r"[\s,.]", description, maxsplit=1)[0].lower().strip("`")
        if word not in DETERMINERS:
            yield Finding(
                path, node.lineno, f"{node.name}: {entry}: no noun phrase: {description!r}"
            )


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function is read as a value."""
    names = {ast.unparse(decorator) for decorator in node.decorator_list}
    return any(re.search(r"(^|\.)(cached_)?property$", name) for name in names)


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and first line of every entry of the argument sections."""
    inside = False
    indent = 0
    for line in text.splitlines():
        if header := _SECTION.match(line):
            inside, indent = True, len(header[1]) + 4
        elif inside and line.strip() and len(line) - len(line.lstrip()) < indent:
            inside = False
        elif inside and (found := _ENTRY.match(line)) and len(found[1]) == indent:
            yield found[2], found[3]


def main() -> int:
    """Print the findings; the exit status says whether there are any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", action="store_true", help="print numbers per folder instead")
    parser.add_argument("folders", nargs="*", type=Path, help="only what lies in these")
    options = parser.parse_args()
    found = [
        finding
        for finding in findings()
        if not options.folders
        or any(finding.path.is_relative_to(folder) for folder in options.folders)
    ]
    if options.count:
        for folder, number in sorted(Counter(f.path.parent for f in found).items()):
            print(f"{number:5d} {folder}")
    else:
        for finding in found:
            print(finding)
    print(f"docstrings: {len(found)} findings", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
