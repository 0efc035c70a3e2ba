"""Imports of the package: allowed ones between folders, and those of a single modality."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import omnivec2.preprocess
from omnivec2.spec import Modality

PACKAGE = Path(omnivec2.preprocess.__file__).parent
MODALITIES = {f"omnivec2.preprocess.{modality.value}" for modality in Modality}


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_package_holds_the_base_and_one_module_per_modality() -> None:
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules == {"__init__", "base", *(modality.value for modality in Modality)}


@pytest.mark.parametrize("path", sorted((PACKAGE / "formats").rglob("*.py")), ids=lambda p: p.stem)
def test_readers_of_formats_import_no_modality(path: Path) -> None:
    assert MODALITIES.isdisjoint(imported_modules(path))


@pytest.mark.parametrize("modality", Modality)
def test_modalities_do_not_import_each_other(modality: Modality) -> None:
    path = PACKAGE / f"{modality.value}.py"
    assert MODALITIES.isdisjoint(imported_modules(path))
