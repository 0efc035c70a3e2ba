from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omnivec2_cli.main import app
from tests.support.data_sets.broken_data import pictures

RECIPE = """
preset: tiny
steps: 3
tasks:
  image/pets:
    weight: 1
    data: {kind: imagefolder, path: pets}
  tabular/income: {weight: 1}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    pictures(tmp_path / "pets", count=12)
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def run(recipe: Path, *options: str):
    arguments = ["data", "check", str(recipe), "--data", str(recipe.parent), *options]
    return CliRunner().invoke(app, arguments)


def test_good_data_is_counted_and_shown(recipe):
    sheet = recipe.with_name("sheet.html")
    result = run(recipe, "--sheet", str(sheet))
    assert result.exit_code == 0, result.output
    assert "nothing is wrong" in result.output
    assert "cat" in result.output
    text = sheet.read_text()
    assert text.count("<h2>") == 3
    assert text.count("data:image/png;base64,") == 3


def test_broken_files_are_named_and_the_exit_status_is_1(recipe):
    (recipe.parent / "pets/cat/03.png").write_bytes(b"nothing")
    result = run(recipe)
    assert result.exit_code == 1
    assert "broken: undecodable input (1)" in result.output
    assert "pets/cat/03.png: " in result.output


def test_a_check_prints_json(recipe):
    (recipe.parent / "pets/cat/03.png").write_bytes(b"nothing")
    result = run(recipe, "--json", "--seconds", "0")
    (task,) = json.loads(result.stdout)
    assert task["route"] == "image/pets"
    assert task["problems"][0]["file"] == "pets/cat/03.png"
    assert result.exit_code == 1


def test_a_recipe_without_blocks_has_nothing_to_check(recipe):
    result = run(recipe, "--only", "tabular/income")
    assert result.exit_code == 2
    assert "no task has a block of data" in result.output


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("{kind: imagefodler, path: pets}", "imagefodler"),
        ("{kind: imagefolder, paht: pets}", "did you mean path?"),
        ("{kind: csv, path: a.csv, split: {by: shares, vla: 0.2}}", "did you mean val?"),
        ("{kind: csv, path: a.csv, target: {kind: numbers, unit: {a: m}}}", "did you mean units?"),
    ],
)
def test_a_wrong_field_is_named_with_file_and_line(recipe, wrong, words):
    recipe.write_text(RECIPE.replace("{kind: imagefolder, path: pets}", wrong))
    result = run(recipe)
    assert result.exit_code == 1
    assert "recipe.yaml:7" in result.output
    assert words in result.output
