"""A toy modality, added as docs/adding-a-modality.md says, is trained, exported and served."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT

TOY = ROOT / "tests" / "support" / "toy_modality"
GUIDE = ROOT / "docs" / "adding-a-modality.md"
PACKAGES = ("omnivec2", "service", "export")
# The script's own folder must not come before the copy; a tiny network is quickest on one thread.
ENVIRONMENT = {"PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

REGISTRATION = {
    "omnivec2/spec.py": [('    HYPERSPECTRAL = "hyperspectral"\n', '    TOY = "toy"\n')],
    "omnivec2/network/tokenizers/__init__.py": [
        (
            "from omnivec2.network.tokenizers.text import TextTokenizerConfig\n",
            "from omnivec2.network.tokenizers.toy import ToyTokenizerConfig\n",
        ),
        ("    | ImuTokenizerConfig\n", "    | ToyTokenizerConfig\n"),
    ],
    "omnivec2/training/modalities/__init__.py": [
        (
            "            return hyperspectral.TRAINING\n",
            "        case Modality.TOY:\n"
            "            from omnivec2.training.modalities import toy\n\n"
            "            return toy.TRAINING\n",
        )
    ],
}
"""File -> lines of it, and those that are added behind them."""

NEW_FILES = sorted(
    str(path.relative_to(TOY))
    for folder in ("omnivec2", "tests")
    for path in (TOY / folder).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with the toy modality added."""
    copy = tmp_path_factory.mktemp("sources")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("*.pyc"))
    for name in NEW_FILES:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOY / name, copy / name)
    for name, additions in REGISTRATION.items():
        text = (copy / name).read_text()
        for behind, added in additions:
            assert text.count(behind) == 1, (name, behind)
            text = text.replace(behind, behind + added)
        (copy / name).write_text(text)
    return copy


@pytest.fixture(scope="module")
def seen(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a process that runs the copy saw of the toy modality, from training to an answer."""
    command = [
        sys.executable,
        str(TOY.parent / "training" / "toy_walk_through.py"),
        str(tmp_path_factory.mktemp("walk")),
    ]
    done = subprocess.run(
        command,
        check=False,
        cwd=sources,
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_it_is_trained_masked_and_supervised(seen) -> None:
    assert seen["stages"] == ["1-masked", "2-supervised"]
    assert seen["heads"] == ["toy/embedding", "toy/trend"]


def test_its_graphs_answer_as_the_network_does(seen) -> None:
    assert seen["exported"]
    assert all(seen["exported"].values()), seen["exported"]


def test_it_is_served(seen) -> None:
    assert {entry["label"] for entry in seen["answer"]} == {"falling", "rising"}
    assert [answer[0]["label"] for answer in seen["answers"]] == ["rising", "falling"]
    assert seen["answer"][0]["label"] == "rising"
    assert len(seen["embedding"]) == 1
    assert seen["refused"]["status"] == 422


def test_the_page_and_the_documentation_have_what_they_list_heads_from(seen) -> None:
    assert seen["page"] == 200
    routes = {model["predict"]: model["modality"] for model in seen["models"]}
    assert routes == {"/predict/toy/embedding": "toy", "/predict/toy/trend": "toy"}
    assert "/predict/toy/trend" in seen["documented"]


def test_the_guide_names_every_file_that_was_touched() -> None:
    text = GUIDE.read_text()
    for name in [*NEW_FILES, *REGISTRATION]:
        generic = name.replace("toy", "<modality>").replace("rising.txt", "<file>")
        assert f"`{generic}`" in text, generic
