from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import CheckpointError, UnknownModelError
from omnivec2.network.config import HeadConfig, NetworkConfig
from omnivec2.network.join_heads import join_head
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import load_network, save_network
from omnivec2.network.tokenizers.visual import VisualTokenizerConfig
from omnivec2.spec import HeadSpec, Modality, TaskFamily
from omnivec2_cli.main import app
from tests.support.networks.cut_networks import cut_heads, one_layer
from tests.support.networks.writing import MAX_TOKENS, ROUTE, writing_network

SHORT = 20
INPUTS = {
    "input_ids": torch.randint(1996, 2100, (2, 12), generator=torch.Generator().manual_seed(0)),
    "token_type_ids": torch.zeros(2, 12, dtype=torch.long),
    "attention_mask": torch.ones(2, 12, dtype=torch.long),
}


def checkpoints(root: Path) -> tuple[Path, Path, list[HeadSpec]]:
    """Save a checkpoint of both heads and long texts, and one that only embeds short texts."""
    whole, heads = writing_network()
    save_network(root / "whole", whole, whole.state_dict(), heads)
    config = whole.config.model_dump()
    config["tokenizers"]["text"]["positions"] = SHORT
    config["heads"].pop(ROUTE)
    small = OmniVec2(NetworkConfig.model_validate(config))
    state = {name: whole.state_dict()[name] for name in small.state_dict()}
    positions = "tokenizers.text.positions.weight"
    state[positions] = state[positions][:SHORT]
    save_network(root / "small", small, state, heads[1:])
    return root / "whole", root / "small", heads


def answers(directory: Path, route: str, name: str) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = load_network(directory)(route, INPUTS)[name]
    return found


def test_a_head_answers_in_the_checkpoint_it_joins_as_where_it_was_trained(tmp_path: Path) -> None:
    donor, into, heads = checkpoints(tmp_path)
    embedded = answers(into, "text/embedding", "embedding")
    joined = join_head(ROUTE, donor, into)
    assert [head.route for head in joined.heads] == ["text/embedding", ROUTE]
    written = answers(into, ROUTE, "memory")
    torch.testing.assert_close(written, answers(donor, ROUTE, "memory"), atol=1e-4, rtol=1e-3)
    after = answers(into, "text/embedding", "embedding")
    torch.testing.assert_close(after, embedded, atol=1e-5, rtol=1e-4)
    found = {head.route: head for head in read_checkpoint(into).heads}
    assert found[ROUTE].generation == heads[0].generation


def test_joining_a_head_of_longer_texts_extends_the_positions(tmp_path: Path) -> None:
    donor, into, _ = checkpoints(tmp_path)
    join_head(ROUTE, donor, into)
    found = load_network(into).tokenizers["text"].get_parameter("positions.weight")
    wanted = load_network(donor).tokenizers["text"].get_parameter("positions.weight")
    assert found.shape[0] == MAX_TOKENS
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)


def test_joining_a_head_again_replaces_it(tmp_path: Path) -> None:
    donor, into, _ = checkpoints(tmp_path)
    join_head(ROUTE, donor, into)
    size = (into / "weights.safetensors").stat().st_size
    join_head(ROUTE, donor, into)
    assert (into / "weights.safetensors").stat().st_size == size


def test_a_head_of_another_trunk_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    donor, into, heads = checkpoints(tmp_path)
    foreign, _ = writing_network(seed=1)
    save_network(donor, foreign, foreign.state_dict(), heads)
    before = read_checkpoint(into).digest
    with pytest.raises(CheckpointError, match="frozen_trunk"):
        join_head(ROUTE, donor, into)
    assert read_checkpoint(into).digest == before


def test_the_command_reports_what_it_did(tmp_path: Path) -> None:
    donor, into, _ = checkpoints(tmp_path)
    given = ["head", "join", ROUTE, "--from", str(donor), "--checkpoint", str(into)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert f"{ROUTE} is one of 2 heads" in done.output.replace("\n", " ")


def test_a_head_that_is_not_there_is_named(tmp_path: Path) -> None:
    donor, into, _ = checkpoints(tmp_path)
    with pytest.raises(UnknownModelError, match="text/rhymes"):
        join_head("text/rhymes", donor, into)


def pictures(root: Path) -> tuple[Path, Path]:
    """Save a checkpoint whose stem has a branch, and one of the same weights without it.

    Each has a head of two layers: one that sees the branch, and one that does not.
    """
    torch.manual_seed(0)
    preset, directories = one_layer(), []
    state: dict[str, torch.Tensor] = {}
    for name, blocks, summaries in (("deep", 5, ("deep",)), ("plain", 0, ("cls", "mean"))):
        changes = {
            "tokenizers": {
                "image": VisualTokenizerConfig(
                    modality=Modality.IMAGE, stem_blocks=8, deep_blocks=blocks, grid=(1, 4, 4)
                )
            },
            "heads": {
                f"image/{name}": HeadConfig(
                    family=TaskFamily.CLASSIFICATION, tokenizer="image", layers="fc",
                    outputs=3, hidden=4, summaries=summaries,
                )
            },
        }  # fmt: skip
        network = OmniVec2(NetworkConfig.model_validate(preset | changes)).eval()
        state = network.state_dict() | {k: v for k, v in state.items() if "heads." not in k}
        own = {key: state[key] for key in network.state_dict()}
        network.load_state_dict(own)
        save_network(root / name, network, own, cut_heads(network))
        directories.append(root / name)
    return directories[0], directories[1]


def test_a_head_from_before_there_was_a_branch_joins_a_checkpoint_that_has_one(
    tmp_path: Path,
) -> None:
    deep, plain = pictures(tmp_path)
    inputs = {"pixels": torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)}
    with torch.inference_mode():
        before = load_network(plain)("image/plain", inputs)["logits"]
        join_head("image/plain", plain, deep)
        after = load_network(deep)("image/plain", inputs)["logits"]
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-3)


def test_a_head_that_sees_a_branch_joins_no_checkpoint_without_one(tmp_path: Path) -> None:
    deep, plain = pictures(tmp_path)
    with pytest.raises(CheckpointError, match="sees deep, which the tokenizer image"):
        join_head("image/deep", deep, plain)
    assert [head.route for head in read_checkpoint(plain).heads] == ["image/plain"]
