"""Links, commands, files and tables of the documents agree with the project."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from omnivec2.spec import Modality
from tests.support.documents import DOCUMENTS, ROOT, anchors, examples, links

HTTP_API = ROOT / "docs" / "http-api.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PACKAGES = [
    "omnivec2",
    "omnivec2_api",
    "omnivec2_cli",
    "service",
    "export",
    "rollout",
    "loadtests",
    "deploy",
    "scripts",
]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_every_relative_link_resolves(path: Path) -> None:
    for target in links(path):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{target} is not there"
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading"


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_every_make_target_that_is_named_exists(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))
    text = path.read_text()
    named = set(re.findall(r"`make ([a-z][a-z-]*)", text))
    named |= set(re.findall(r"^make ([a-z][a-z-]*)", text, flags=re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("modality", list(Modality))
@pytest.mark.parametrize("language", ["bash", "python"])
def test_every_modality_has_an_example_with_curl_and_one_in_python(
    modality: Modality, language: str
) -> None:
    asked = {
        route.partition("/")[0]
        for example in examples(HTTP_API)
        if example.language == language
        for route in example.routes
    }
    assert modality.value in asked


@pytest.mark.parametrize("modality", list(Modality))
def test_the_heads_of_a_modality_are_those_that_ship(modality: Modality) -> None:
    section = HTTP_API.read_text().partition(f"\n### {modality.value}\n")[2]
    listed = re.search(r"^Heads: ([^.]+)\.", section, flags=re.MULTILINE)
    assert listed is not None
    shipped = (ROOT / "checkpoints" / "reference" / "models").glob(f"{modality.value}_*")
    tasks = {path.name.removeprefix(f"{modality.value}_") for path in shipped}
    assert set(re.findall(r"`(\w+)`", listed[1])) == tasks


def test_files_that_examples_name_are_there() -> None:
    for path in DOCUMENTS:
        for example in examples(path):
            for file in re.findall(r"tests/data/[\w./-]+", example.code):
                assert (ROOT / file).is_file(), f"{example.name}: {file} is not there"


def test_generated_tables_are_up_to_date() -> None:
    command = [sys.executable, "-m", "docs.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_triton_page_names_the_triton_releases_that_are_used() -> None:
    releases = json.loads((ROOT / "deploy" / "triton" / "release.json").read_text())
    text = (ROOT / "docs" / "triton.md").read_text()
    production, development = releases["production"], releases["development"]
    named = [*(production[key] for key in ("release", "triton", "image", "security_floor"))]
    named += [development["release"], development["triton"], development["wheel"]]
    assert [name for name in named if name not in text] == []
    lock = (ROOT / "requirements/triton-server.lock").read_text()
    assert development["wheel"] in lock


def test_the_newcomers_table_answers_each_question_with_one_file() -> None:
    section = ARCHITECTURE.read_text().partition("\n## Where is …?\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (Where .+\?) \| (.+) \|$", section, flags=re.MULTILINE)
    assert len(rows) >= 20
    assert len({question for question, _ in rows}) == len(rows)
    for question, answer in rows:
        (target,) = _LINK.findall(answer)
        assert (ARCHITECTURE.parent / target).is_file(), f"{question} {target} is not a file"


def test_every_room_is_on_the_map() -> None:
    section = ARCHITECTURE.read_text().partition("\n## Rooms\n")[2].partition("\n## ")[0]
    tree = section.split("```")[1]
    named = set(re.findall(r"(\w+)/", tree))
    rooms = {
        part
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for part in path.relative_to(ROOT).parent.parts
    }
    assert rooms <= named


def test_every_document_is_in_the_navigation_of_the_site() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    # Results of measurements are files that pages are made of, not pages.
    pages = {page for page in pages if not page.startswith("evaluations/")}
    navigation = text.partition("\nnav:\n")[2].partition("\ntheme:\n")[0]
    assert pages - set(re.findall(r": (\S+\.md)$", navigation, flags=re.MULTILINE)) == set()
