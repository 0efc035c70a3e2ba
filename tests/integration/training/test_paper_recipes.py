"""The recipes of the paper's data sets: each takes three steps on a toy copy of its data."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from omnivec2.checkpoint import read_checkpoint
from omnivec2.spec import Modality
from omnivec2.training import training_run
from omnivec2.training.alignment.alignment_request import AlignRequest
from omnivec2.training.alignment.alignment_run import align
from omnivec2.training.alignment.paired_tables import PairedTable, load_pairs
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.recipe import Recipe, load_recipe
from omnivec2.training.training_run import Paths
from tests.support.data_sets.paper_toys import TOYS, captioned_clips
from tests.support.documents import ROOT

FOLDER = ROOT / "omnivec2" / "training" / "recipes" / "paper"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SMALL: dict[Modality, dict[str, object]] = {
    Modality.IMAGE: {"height": 32, "width": 32},
    Modality.AUDIO: {"frames": 64},
    Modality.VIDEO: {"frames": 4, "height": 32, "width": 32},
    Modality.POINTCLOUD: {"points": 64, "groups": 16, "neighbours": 8},
    Modality.TIMESERIES: {"context_length": 48, "horizon": 12},
}
"""Sizes of inputs that take three steps in a second."""


def shrunk(recipe: Recipe) -> Recipe:
    """Return a recipe for its toy: three steps, small sizes, everything else as it is."""
    content = recipe.model_dump(mode="json", exclude_unset=True)
    content |= {"preset": "tiny", "steps": 3, "warm_start": False, "bf16": False}
    for route, task in content["tasks"].items():
        sizes = SMALL.get(Modality(route.partition("/")[0]), {})
        task |= {"batch_size": 4, "preprocess": {**task.get("preprocess", {}), **sizes}}
        if task["data"]["kind"] == "series":
            task["data"] |= {"context": 48, "horizon": 12, "step": 24}
    return Recipe.model_validate(content)


def test_every_recipe_has_a_toy_copy_of_its_data_and_a_row_in_the_documents():
    assert sorted(TOYS) == RECIPES
    text = (ROOT / "docs" / "paper-data.md").read_text()
    for name in RECIPES:
        assert f"`paper/{name}`" in text, name


@pytest.mark.parametrize("name", RECIPES)
def test_three_steps_are_taken_on_a_copy_in_the_stated_form(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # prepared arrays are cached there
    monkeypatch.setattr(training_run, "make_console", lambda: Console(file=io.StringIO()))
    data = tmp_path / "data"
    data.mkdir()
    TOYS[name](data)
    recipe = shrunk(load_recipe(f"paper/{name}"))
    checkpoint = training_run.train(recipe, Paths(data, tmp_path / "run", tmp_path / "out"))
    (route,) = recipe.tasks
    spec = next(head for head in read_checkpoint(checkpoint).heads if head.route == route)
    task = recipe.tasks[route]
    assert spec.data_block is not None
    assert {task.metric, *task.further_metrics} - {None} <= METRICS.keys()
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert "NaN" not in log
    assert np.isfinite(spec.thresholds).all()


def test_the_form_of_the_files_stands_at_the_head_of_every_recipe():
    for name in RECIPES:
        first, second, *_ = (FOLDER / f"{name}.yaml").read_text().splitlines()
        assert first.startswith("# "), name
        assert second.startswith("# Files below --data: "), name


def test_data_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    recipe = shrunk(load_recipe("paper/regdb"))
    with pytest.raises(Exception, match="regdb/train"):
        training_run.train(recipe, Paths(tmp_path, tmp_path / "run", tmp_path / "out"))


def test_captions_and_clips_are_paired_in_three_steps_in_the_form_of_msr_vtt_and_youcook2(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training_run, "make_console", lambda: Console(file=io.StringIO()))
    parts = [shrunk(load_recipe(f"paper/{name}")) for name in ("moments", "sst2")]
    for name in ("moments", "sst2"):
        TOYS[name](tmp_path)
    recipe = parts[0].model_copy(update={"tasks": {**parts[0].tasks, **parts[1].tasks}})
    base = training_run.train(recipe, Paths(tmp_path, tmp_path / "run", tmp_path / "base"))
    columns = {Modality.TEXT: "caption", Modality.VIDEO: "clip"}
    table = PairedTable(captioned_clips(tmp_path), columns, tmp_path, split="part")
    request = AlignRequest(
        load_pairs(table, base), base, tmp_path / "cache", tmp_path / "out", steps=3
    )
    result = align(request, Console(file=io.StringIO()))
    queries = {(row.asked, row.found): row.queries for row in result.recalls}
    assert queries == {("text", "video"): 6, ("video", "text"): 3}
    heads = {head.route for head in read_checkpoint(tmp_path / "out").heads}
    assert heads == {"text/retrieval", "video/retrieval"}
