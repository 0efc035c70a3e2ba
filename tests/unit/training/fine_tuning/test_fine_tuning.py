"""Fine-tuning: low-rank updates, rates by layer, frozen layers, and warm starts in a recipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from omnivec2.errors import CheckpointError
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import load_network, save_network
from omnivec2.training.batches import as_tensors
from omnivec2.training.distributed.devices import Machine
from omnivec2.training.fine_tuning.low_rank import merged_state
from omnivec2.training.loop import start_stage, train_step
from omnivec2.training.optimisation import parameter_groups
from omnivec2.training.recipe import Recipe
from omnivec2.training.structure.network_structure import head_specs
from omnivec2.training.supervised import SupervisedStage
from omnivec2.training.training_run import build_network, freeze_parameters
from omnivec2.training.training_state import Progress
from tests.support.networks.backbone_files import (
    DEPTH,
    PATCH,
    WIDTH,
    bert_weights,
    vit_weights,
    write_backbone,
)
from tests.support.training import tiny_tasks

TASK = tiny_tasks.detection()
TASKS = {TASK.route: TASK}


def recipe(**fields) -> Recipe:
    values = {
        "preset": "tiny", "steps": 3, "warmup_steps": 1, "bf16": False, "warm_start": False,
        "average_decay": 0.5, "tasks": {TASK.route: {"weight": 1, "batch_size": 2}},
    }  # fmt: skip
    return Recipe.model_validate(values | fields)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("vit"), vit_weights(), model_type="vit")


def vit_recipe(vit: Path, **fields) -> Recipe:
    patches = {"image": {"stem": "patches", "patch": PATCH}}
    return recipe(
        warm_start={"trunk": str(vit), "tokenizer.image": str(vit)},
        network={"f": "backbone", "tokenizers": patches},
        **fields,
    )


def train(made: Recipe) -> tuple[OmniVec2, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The network, its weights before, and its averaged weights after a few steps."""
    torch.manual_seed(0)
    network, _ = build_network(made, TASKS)
    freeze_parameters(network, made, set())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    stage = SupervisedStage(network, made, TASKS, 0)
    run = start_stage(stage, Progress(), Machine("cpu"))
    for batch in stage.sampler().stream(0, made.steps, {}):
        train_step(run, batch)
    return network, before, run.average.state(network)


def test_a_recipe_takes_sizes_and_weights_of_a_backbone_and_prints_what_it_took(vit: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    network, used = build_network(vit_recipe(vit), TASKS, console)
    f = network.config.trunk.f
    assert (f.depth, f.width, f.norm) == (DEPTH, WIDTH, "pre")
    weights = vit_weights()
    layer = network.trunk.f.transformer.layers[1]
    assert torch.equal(layer.up.weight, weights["encoder.layer.1.intermediate.dense.weight"])
    # Fitted constants do not overwrite the patches' own map.
    kernel = weights["embeddings.patch_embeddings.projection.weight"].flatten(1)
    assert torch.equal(network.tokenizers["image"].project.weight, kernel)
    assert used == {
        f"trunk.f ({DEPTH} layers)": f"{vit.name} (ViT names, local files)",
        "tokenizers.image": f"{vit.name} (ViT names, local files)",
    }
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "interpolated from 4 x 4 to" in printed
    assert "trunk.f.transformer.layers.*.attention.query.{weight,bias}" in printed
    assert "0 left" in printed
    (spec, _) = head_specs(network, [TASK], {TASK.route}, used)
    assert spec.warm_starts == (f"{vit.name} (ViT names, local files)",)
    assert spec.network == "custom"


def test_low_rank_updates_change_nothing_at_first_and_are_merged_when_saved(
    vit: Path, tmp_path: Path
) -> None:
    plain, _ = build_network(vit_recipe(vit), TASKS)
    made = vit_recipe(
        vit, lora={"rank": 2, "targets": ["query", "value", "up"]}, learning_rates={"trunk": 0.05}
    )
    torch.manual_seed(0)
    network, _ = build_network(made, TASKS)
    pixels = as_tensors({"pixels": TASK.splits["test"].samples[0]["pixels"][None]})
    tokens = plain.tokenize(TASK.route, pixels)
    assert torch.equal(
        plain.trunk.f.transformer(tokens.x_BND), network.trunk.f.transformer(tokens.x_BND)
    )
    network, before, after = train(made)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    own = {name for name in changed if name.startswith("trunk.f.transformer")}
    assert own
    assert all(name.endswith(("low_rank_a", "low_rank_b")) for name in own)
    network.load_state_dict(after)
    network.eval()
    expected = network(TASK.route, pixels)["boxes"]

    merged = merged_state(network, after)
    shipped, _ = build_network(vit_recipe(vit), TASKS)
    assert merged.keys() == shipped.state_dict().keys()
    shipped.load_state_dict(merged)
    assert torch.allclose(shipped.eval()(TASK.route, pixels)["boxes"], expected, atol=1e-5)
    specs = head_specs(network, [TASK], {TASK.route}, {})
    save_network(tmp_path / "checkpoint", network, merged, specs)
    loaded = load_network(tmp_path / "checkpoint")
    assert torch.allclose(loaded(TASK.route, pixels)["boxes"], expected, atol=0.02)


def test_a_layer_nearer_to_the_input_has_a_lower_rate(vit: Path) -> None:
    made = vit_recipe(vit, layer_decay=0.5, learning_rates={"pretrained": 1e-4, "fresh": 1e-3})
    network, _ = build_network(made, TASKS)
    rates: dict[int, float] = {}
    for group in parameter_groups(network, made):
        parameters, peak = group["params"], group["peak"]
        assert isinstance(parameters, list)
        assert isinstance(peak, float)
        rates |= {id(parameter): peak for parameter in parameters}

    def rate(name: str) -> float:
        return rates[id(network.get_parameter(name))]

    layers = "trunk.f.transformer.layers"
    assert rate(f"{layers}.1.up.weight") == pytest.approx(1e-4)
    assert rate(f"{layers}.0.up.weight") == pytest.approx(5e-5)
    assert rate("tokenizers.image.project.weight") == pytest.approx(2.5e-5)
    assert rate("trunk.f.transformer.final_norm.weight") == pytest.approx(1e-4)
    assert rate("heads.image_squares.project.weight") == pytest.approx(1e-3)


@pytest.mark.parametrize("count", [0, 1])
def test_only_the_last_layers_of_f_train(vit: Path, count: int) -> None:
    _, before, after = train(vit_recipe(vit, trained_layers=count))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    layers = "trunk.f.transformer.layers"
    assert any(name.startswith(f"{layers}.{DEPTH - 1}") for name in changed) == bool(count)
    assert not any(name.startswith(f"{layers}.0") for name in changed)
    assert any(name.startswith("trunk.g") for name in changed)


def test_layers_cannot_train_in_a_frozen_trunk() -> None:
    with pytest.raises(ValueError, match="trained_layers means nothing with frozen_trunk"):
        recipe(frozen_trunk=True, trained_layers=1)
    stages = [{"kind": "supervised", "steps": 1, "frozen_trunk": True, "trained_layers": 1}]
    with pytest.raises(ValueError, match=r"stages\.0: trained_layers means nothing"):
        recipe(steps=0, stages=stages)


def test_a_part_that_is_neither_trunk_nor_tokenizer_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="warm_start: head is neither trunk nor tokenizer"):
        recipe(warm_start={"head": "x"})


def test_packaged_weights_can_be_named_for_single_parts() -> None:
    network, used = build_network(recipe(warm_start={"tokenizer.image": "packaged"}), TASKS)
    assert list(used) == ["tokenizers.image.stem"]
    assert network.config.preset == "tiny"


def test_a_backbone_of_other_sizes_is_refused_with_those_of_both(tmp_path: Path) -> None:
    bert = write_backbone(tmp_path, bert_weights(), model_type="bert")
    with pytest.raises(CheckpointError, match=r"32 wide .* those of f 48 wide"):
        build_network(recipe(warm_start={"trunk": str(bert)}), TASKS)
