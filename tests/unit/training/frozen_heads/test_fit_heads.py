"""Heads of a recipe on a tiny, untrained network, fitted to what is easy to tell apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from omnivec2.checkpoint import load_stored_tensors, read_checkpoint
from omnivec2.errors import ArtifactError, InvalidParameterError, UnknownModelError
from omnivec2.network.saved_network import load_network
from omnivec2.spec import Modality
from omnivec2.training.frozen_heads.frozen_heads_recipe import FrozenHeadsRecipe, read_recipe
from omnivec2.training.frozen_heads.frozen_heads_run import (
    FittedFrozenHead,
    FrozenHeadsPaths,
    fit_heads,
)
from omnivec2_cli.main import app
from tests.support.data_sets import adapt_data

SOURCES = [{"name": "made up", "licence": "CC0"}]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "checkpoint"
    return adapt_data.tiny_base(folder, Modality.TEXT, Modality.IMAGE)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of cats or of boats, with how many there are, as a table of lines."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for part, count in (("train", 60), ("val", 20), ("test", 20)):
        rows = []
        for number in range(count):
            thing = ("cat", "boat")[number % 2]
            many = int(generator.integers(1, 5))
            tags = [thing, *["many"] * (many > 2)]
            text = " ".join(["a", *[thing] * (4 * many)])
            rows.append({"text": text, "label": thing, "tags": tags, "count": many})
        lines = "\n".join(map(json.dumps, rows))
        (folder / f"{part}.jsonl").write_text(lines)
    return folder


def block(**fields: Any) -> dict[str, Any]:
    path = {part: f"{part}.jsonl" for part in ("train", "val", "test")}
    return {"kind": "jsonl", "path": path, "input": "text", **fields}


HEADS: dict[str, Any] = {
    "text/thing": {
        "hidden": 8,
        "data": block(label="label"),
        "sources": SOURCES,
        "description": "Cats or boats.",
    },
    "text/tags": {
        "hidden": 8,
        "members": 1,
        "linear": False,
        "summaries": [["cls", "mean"]],
        "data": block(label="tags", target="tags"),
    },
    "text/count": {
        "hidden": 8,
        "data": block(label="count", target={"kind": "numbers"}),
        "experimental": True,
    },
}


def run(
    heads: dict[str, Any], base: Path, data: Path, out: Path, only: tuple[str, ...] = ()
) -> list[FittedFrozenHead]:
    recipe = FrozenHeadsRecipe.model_validate({"heads": heads})
    paths = FrozenHeadsPaths(data, out.parent / "cache", base, out.parent / "run", out)
    return list(fit_heads(recipe, paths, Console(quiet=True), only))


@pytest.fixture(scope="module")
def fitted(
    base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[FittedFrozenHead]]:
    out = tmp_path_factory.mktemp("fitted") / "checkpoint"
    return out, run(HEADS, base, data, out)


def test_heads_are_chosen_on_val_and_fitted_to_train_and_val(
    fitted: tuple[Path, list[FittedFrozenHead]],
) -> None:
    _, heads = fitted
    assert [head.route for head in heads] == list(HEADS)
    assert [head.metric for head in heads] == ["accuracy", "map", "rmse"]
    assert heads[0].value == 1.0
    assert {head.samples for head in heads} == {80}
    assert "linear" not in heads[1].chosen


def test_specs_say_what_heads_answer_and_where_their_data_is(
    fitted: tuple[Path, list[FittedFrozenHead]],
) -> None:
    specs = {head.route: head for head in read_checkpoint(fitted[0]).heads}
    thing, tags, count = (specs[route] for route in HEADS)
    assert set(thing.labels) == {"boat", "cat"}
    assert thing.description == "Cats or boats."
    assert thing.data[0].licence == "CC0"
    assert thing.data_block is not None
    assert not thing.experimental
    assert len(tags.thresholds) == len(tags.labels) == 3
    assert [target.name for target in count.targets] == ["count"]
    assert count.outputs[0].name == "values"
    assert count.experimental


def test_everything_else_stays_as_it_is_stored(
    base: Path, fitted: tuple[Path, list[FittedFrozenHead]]
) -> None:
    before, after = load_stored_tensors(base), load_stored_tensors(fitted[0])
    assert before.keys() < after.keys()
    assert all(key.startswith("heads.text_") for key in after.keys() - before.keys())
    assert all(np.array_equal(before[key], after[key]) for key in before)
    assert all(before[key].dtype == after[key].dtype for key in before)
    network = load_network(fitted[0])
    assert set(HEADS) < set(network.config.heads)
    assert network.config.trunk.f_mean


def test_a_second_run_fits_only_what_is_named(
    base: Path, data: Path, fitted: tuple[Path, list[FittedFrozenHead]]
) -> None:
    out, _ = fitted
    assert run(HEADS, base, data, out) == []
    before = load_stored_tensors(out)
    [again] = run(HEADS, base, data, out, only=("text/count",))
    assert again.route == "text/count"
    after = load_stored_tensors(out)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_an_unknown_head_is_refused(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="no head text/no; it has text/thing"):
        run(HEADS, base, data, tmp_path / "out", only=("text/no",))


def test_inputs_that_the_tokenizer_cannot_take_are_refused(
    base: Path, data: Path, tmp_path: Path
) -> None:
    pictures = adapt_data.picture_folder(tmp_path / "pictures")
    source = {"kind": "imagefolder", "path": str(pictures)}
    heads = {"image/light": {"data": source, "preprocess": {"height": 16, "width": 16}}}
    with pytest.raises(ArtifactError, match=r"takes pixels \(32, 32, 3\).*have \(16, 16, 3\)"):
        run(heads, base, data, tmp_path / "out")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hidden": 6}, "hidden 6 does not divide into 4 members"),
        ({"hidden": 8, "members": 8, "summaries": []}, "summaries"),
        ({"data": None, "metric": "auc"}, "states nothing else about its data"),
        ({"width": 8}, "width"),
    ],
)
def test_a_recipe_names_what_is_wrong(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    path = tmp_path / "mine.yaml"
    values = {"data": block(label="label")} | fields
    path.write_text(yaml.safe_dump({"heads": {"text/thing": values}}))
    with pytest.raises(InvalidParameterError, match=said):
        read_recipe(str(path))


def test_recipes_that_are_not_there_or_not_yaml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no recipe"):
        read_recipe("not-there")
    (tmp_path / "mine.yaml").write_text("heads: [")
    with pytest.raises(ArtifactError, match="not valid YAML"):
        read_recipe(str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text("heads: {smell/kind: {}}")
    with pytest.raises(InvalidParameterError, match="expected one of"):
        read_recipe(str(tmp_path / "mine.yaml"))


def test_the_recipe_that_ships_is_valid() -> None:
    recipe = read_recipe("reference-frozen-heads")
    assert len(recipe.heads) >= 10


def test_the_command_says_what_it_chose(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(yaml.safe_dump({"heads": {"text/thing": HEADS["text/thing"]}}))
    command = ["fit", "mine.yaml", "--data", str(data), "-c", str(base), "--out", "next"]
    first = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert first.exit_code == 0, first.output
    assert "text/thing: accuracy 1 in validation, 80 samples" in first.output
    assert "fitted 1 heads; wrote next" in first.output
    assert "nothing new for next" in CliRunner().invoke(app, command).output
