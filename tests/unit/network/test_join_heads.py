from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import CheckpointError, UnknownModelError
from omnivec2.network.config import NetworkConfig
from omnivec2.network.join_heads import join_head
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import load_network, save_network
from omnivec2.spec import HeadSpec
from omnivec2_cli.main import app
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
