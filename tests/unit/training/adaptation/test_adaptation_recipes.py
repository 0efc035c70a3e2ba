"""Adaptations by recipe and by command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from omnivec2.checkpoint import read_checkpoint
from omnivec2.training.adaptation.adaptation_request import read_recipe, recipe_names, request_of
from omnivec2_cli.main import app
from tests.support.data_sets import adapt_data


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_that_ships_is_valid(name: str) -> None:
    request = request_of(read_recipe(name), name)
    assert request.fraction == 0.1
    assert request.sources[0].licence


def test_the_command_writes_a_head_from_a_recipe_of_ones_own(base: Path, tmp_path: Path) -> None:
    adapt_data.picture_folder(tmp_path / "data" / "pictures", count=6)
    recipe = tmp_path / "mine.yaml"
    fields = {
        "route": "image/light",
        "train": {"path": "pictures"},
        "sources": [{"name": "mine", "licence": "CC0"}],
    }
    recipe.write_text(yaml.safe_dump(fields))
    options = ["--data", tmp_path / "data", "-c", base, "--out", tmp_path / "out",
               "--run", tmp_path / "run", "--json", tmp_path / "figures.json"]  # fmt: skip
    outcome = CliRunner().invoke(app, ["adapt", str(recipe), *map(str, options)])
    assert outcome.exit_code == 0, outcome.output
    assert "image/light" in outcome.output
    assert (tmp_path / "figures.json").is_file()
    assert read_checkpoint(tmp_path / "out").heads[0].route == "image/light"


def test_a_quantity_is_named_by_its_column_in_a_listing_of_files(
    base: Path, tmp_path: Path
) -> None:
    pictures = adapt_data.picture_folder(tmp_path / "pictures", count=6)
    listing = tmp_path / "values.csv"
    rows = [f"{path.relative_to(pictures)},{int(path.stem)}" for path in pictures.rglob("*.png")]
    listing.write_text("file,brightness\n" + "\n".join(rows) + "\n")
    options = ["--modality", "image", "--task", "bright", "--task-family", "regression",
               "--data", pictures, "--labels", listing, "--unit", "cd", "-c", base,
               "--out", tmp_path / "out", "--run", tmp_path / "run"]  # fmt: skip
    outcome = CliRunner().invoke(app, ["adapt", *map(str, options)])
    assert outcome.exit_code == 0, outcome.output
    [target] = read_checkpoint(tmp_path / "out").heads[0].targets
    assert (target.name, target.unit) == ("brightness", "cd")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "elegance"}, "expected one of"),
        ({"fractoin": 0.1}, "fractoin: Extra inputs"),
        ({"fraction": 2}, "fraction: Input should be less"),
        ({"train": {"path": "nowhere"}}, "nowhere is not there"),
    ],
)
def test_a_wrong_recipe_is_one_line_that_names_the_field(
    base: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    adapt_data.picture_folder(tmp_path / "pictures", count=2)
    recipe = tmp_path / "mine.yaml"
    fields = {
        "route": "image/light",
        "train": {"path": "pictures"},
        "sources": [{"name": "mine", "licence": "CC0"}],
    }
    recipe.write_text(yaml.safe_dump(fields | change))
    options = ["--data", str(tmp_path), "-c", str(base)]
    outcome = CliRunner().invoke(app, ["adapt", str(recipe), *options])
    assert outcome.exit_code != 0
    assert message in outcome.output
    assert "Traceback" not in outcome.output
