"""Sizes of a network in a recipe: partial ones over a preset, and what does not fit."""

from __future__ import annotations

import re

import pytest
import torch
import yaml

from omnivec2.errors import ArtifactError
from omnivec2.network.config import PRESETS, NetworkConfig
from omnivec2.network.layers import Tokens
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.visual import VisualTokenizer
from omnivec2.training.batches import as_tensors
from omnivec2.training.recipe import Recipe
from omnivec2.training.structure.network_sizes import CUSTOM, NetworkSizes
from omnivec2.training.structure.network_structure import network_config
from tests.support.documents import ROOT
from tests.support.training import tiny_tasks


def sizes(**fields) -> NetworkSizes:
    return NetworkSizes.model_validate(fields)


def test_without_changes_a_preset_is_itself() -> None:
    for name, preset in PRESETS.items():
        assert NetworkSizes().config(name) == preset


def test_a_width_alone_keeps_the_width_of_a_head_and_the_ratio_of_ffn() -> None:
    trunk = sizes(f={"width": 96, "depth": 3}).config("tiny").trunk
    assert trunk.f.model_dump() == {"depth": 3, "width": 96, "heads": 6, "ffn": 192}
    assert trunk.fc_widths == PRESETS["tiny"].trunk.fc_widths


def test_g_follows_the_width_that_f_ends_with() -> None:
    config = sizes(fc_widths=[40, 64]).config("tiny")
    assert (config.trunk.g.width, config.trunk.g.heads, config.cross_heads) == (64, 2, 2)
    assert config.preset == CUSTOM
    without = sizes(fc_widths=[], g={"heads": 3, "ffn": 96}).config("tiny")
    assert (without.trunk.g.width, without.trunk.g.heads) == (48, 3)


def test_a_network_without_fully_connected_layers_hands_f_to_g_as_it_is() -> None:
    config = sizes(fc_widths=[], g={"heads": 3}).config("tiny")
    network = OmniVec2(config).eval()
    f = network.trunk.f
    tokens = Tokens(torch.randn(2, 5, 48))
    assert torch.equal(f(tokens).x_BND, f.transformer(tokens.x_BND))
    assert [name for name, _ in f.named_parameters() if "transformer" not in name] == []


def test_the_configuration_of_a_custom_network_survives_its_file() -> None:
    made = sizes(f={"norm": "pre", "eps": 1e-5}, tokenizers={"image": {"stem": "patches"}})
    config = network_config("tiny", [tiny_tasks.detection()], sizes=made)
    again = NetworkConfig.model_validate_json(config.model_dump_json())
    assert again == config
    assert again.trunk.f.norm_eps("post") == 1e-5
    # A preset's own file has no field that older versions do not know.
    assert "norm" not in PRESETS["reference"].model_dump_json()


@pytest.mark.parametrize(
    ("fields", "grid"),
    [
        ({"stem": "patches", "patch": 8}, (8, 12)),
        ({"stem": "patches", "patch": 32}, (2, 3)),
        ({"tubelet": [1, 2, 2]}, (2, 3)),
        ({"stem_blocks": 6}, (4, 6)),
    ],
)
def test_heads_know_the_grid_that_the_tokenizer_makes(fields, grid) -> None:
    task = tiny_tasks.detection()
    config = network_config("tiny", [task], sizes=sizes(tokenizers={"image": fields}))
    network = OmniVec2(config).eval()
    inputs = as_tensors({"pixels": task.splits["train"].samples[0]["pixels"][None]})
    assert config.heads[task.route].grid == grid
    assert network(task.route, inputs)["boxes"].shape == (1, grid[0] * grid[1], 4)
    tokenizer = network.tokenizers["image"]
    assert isinstance(tokenizer, VisualTokenizer)
    assert tokenizer(inputs).x_BND.shape[1] == 1 + grid[0] * grid[1]


def test_plain_patches_end_in_a_norm_only_under_a_post_norm_trunk() -> None:
    for norm, kind in (("post", torch.nn.LayerNorm), ("pre", torch.nn.Identity)):
        made = sizes(f={"norm": norm}, tokenizers={"image": {"stem": "patches"}})
        network = OmniVec2(network_config("tiny", [tiny_tasks.detection()], sizes=made))
        assert isinstance(network.tokenizers["image"].norm, kind)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"tokenizers": {"image": {"stem": "patches", "patch": 14}}}, "patches of 14; give"),
        ({"tokenizers": {"image": {"bands": 3}}}, r"tokenizers\.image\.bands: .*its fields: stem"),
        ({"tokenizers": {"text": {"positions": 9}}}, "no task has that tokenizer; there are image"),
        ({"f": "backbone"}, "f: backbone needs a warm_start of the trunk"),
        ({"g": {"width": 64}}, "g is 64 wide, but f ends with 32"),
    ],
)
def test_sizes_that_do_not_fit_are_named(fields, named) -> None:
    with pytest.raises(ArtifactError, match=named):
        network_config("tiny", [tiny_tasks.detection()], sizes=sizes(**fields))


def test_a_recipe_refuses_sizes_that_do_not_fit_before_data_is_read() -> None:
    tasks = {"imu/activity": {"weight": 1}}
    for network, named in (
        ({"f": {"width": 50, "heads": 4}}, "width 50 does not divide by 4 heads"),
        ({"cross_heads": 5}, "the width 32 of g does not divide by it"),
    ):
        with pytest.raises(ValueError, match=named):
            Recipe.model_validate(
                {"preset": "tiny", "steps": 1, "tasks": tasks, "network": network}
            )


def test_the_documented_sizes_are_those_of_a_network() -> None:
    text = (ROOT / "docs" / "backbones.md").read_text().partition("## Sizes")[2]
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    tasks = {"image/squares": {"weight": 1}, "text/sentiment": {"weight": 1}}
    recipe = Recipe.model_validate(yaml.safe_load(block) | {"steps": 1, "tasks": tasks})
    config = recipe.network.config(recipe.preset)
    assert (config.trunk.f.depth, config.trunk.f.width, config.trunk.f.heads) == (8, 512, 16)
    assert (config.trunk.fc_widths, config.trunk.g.width) == ((512, 256), 256)
    fields = {"layer_decay", "trained_layers", "frozen_trunk", "lora"}
    named = set(re.findall(r"^\| `(\w+): ", text, flags=re.MULTILINE))
    assert named == fields <= set(Recipe.model_fields)
