"""Imports of the package: allowed ones between folders, and those of a single modality."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import omnivec2.preprocess
from omnivec2.errors import ArtifactError
from omnivec2.preprocess.formats import modality_libraries
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


def test_a_modality_whose_libraries_are_missing_is_refused_with_the_command_that_installs_them(
    monkeypatch,
):
    monkeypatch.setitem(modality_libraries.LIBRARIES, Modality.GRAPH, ("numpy", "no_such_library"))
    with pytest.raises(
        ArtifactError, match=r"graph needs no_such_library: pip install '.*\[graph]"
    ):
        omnivec2.preprocess.preprocessor_type(Modality.GRAPH)


def test_every_modality_says_which_libraries_it_needs():
    assert modality_libraries.LIBRARIES.keys() == set(Modality)
    assert [m for m in Modality if modality_libraries.missing_libraries(m)] == []
