"""Rules for the whole tree of modules; import-linter holds those for the order of packages."""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from omnivec2.spec import Modality, TaskFamily
from tests.support.documents import ROOT

FOLDERS = (
    *("omnivec2", "omnivec2_api", "omnivec2_cli", "service", "export", "rollout"),
    *("loadtests", "deploy", "docs", "scripts"),
)
SHARED_BY_TESTS = sorted(path for name in ("support", "integration")
                         for path in (ROOT / "tests" / name).rglob("*")
                         if path.is_dir() and path.name != "__pycache__")  # fmt: skip
MOST_MODULES = 15

# The same role in sibling folders.
SHARED_NAMES = {"__init__", "base", "errors", "runtime", *Modality, *TaskFamily}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
MODULES = {module_name(path): path for path in FILES}


@functools.cache
def imported_names(path: Path) -> frozenset[str]:
    """Absolute names that a module imports, also within functions and for type checkers only."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def imports() -> dict[str, set[str]]:
    """Module -> the modules of this project that it imports."""
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        names = set(imported_names(path))
        # A name may be a module, or something in one.
        names |= {name.rpartition(".")[0] for name in names - MODULES.keys()}
        found[module] = (names & MODULES.keys()) - {module}
    return found


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A path that ends where it begins; empty if there is none."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for imported in sorted(graph[module]):
            if found := visit(imported, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := visit(module, []))), [])


def test_there_are_no_import_cycles() -> None:
    # Imports within functions count, and those under TYPE_CHECKING too, as import-linter is set.
    assert circle(imports()) == []


def test_an_import_cycle_is_detected() -> None:
    graph = {"a": {"b", "d"}, "b": {"c"}, "c": {"b"}, "d": set[str]()}
    assert circle(graph) == ["b", "c", "b"]


def test_nothing_but_tests_imports_tests() -> None:
    guilty = [
        module
        for module, path in MODULES.items()
        if any(name.partition(".")[0] == "tests" for name in imported_names(path))
    ]
    assert guilty == []


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in FILES} | {*SHARED_BY_TESTS}),
    ids=lambda folder: str(folder.relative_to(ROOT)),
)
def test_no_folder_holds_more_modules_than_the_limit(folder: str) -> None:
    assert len(list((ROOT / folder).glob("*.py"))) <= MOST_MODULES


def test_module_names_are_unique_but_for_sibling_roles() -> None:
    paths: dict[str, list[str]] = defaultdict(list)
    for path in FILES:
        if path.stem not in SHARED_NAMES:
            paths[path.stem].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in paths.items() if len(found) > 1} == {}
