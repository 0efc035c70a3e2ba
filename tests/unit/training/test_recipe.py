"""Recipes: the ones that ship, and what is said about wrong ones."""

from __future__ import annotations

import pytest

from omnivec2.errors import ArtifactError
from omnivec2.spec import Modality
from omnivec2.training.data import routes
from omnivec2.training.recipe import load_recipe


def test_the_reference_recipe_trains_all_thirteen_modalities_on_data_there_is():
    recipe = load_recipe("reference")
    assert {route.split("/")[0] for route in recipe.tasks} == {m.value for m in Modality}
    assert set(recipe.tasks) <= set(routes())


def test_an_unknown_name_lists_the_recipes_there_are():
    with pytest.raises(ArtifactError, match="reference"):
        load_recipe("nothing-like-it")


def test_every_wrong_field_is_named(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("preset: tiny\nsteps: -1\ntasks: {a/b: {weight: x}}\ncolour: red\n")
    with pytest.raises(ArtifactError) as error:
        load_recipe(path)
    assert all(name in str(error.value) for name in ("steps", "tasks.a/b.weight", "colour"))


def test_damaged_yaml_is_named_as_such(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("preset: [tiny\n")
    with pytest.raises(ArtifactError, match="not valid YAML"):
        load_recipe(path)
