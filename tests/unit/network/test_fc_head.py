"""Summaries of tokens, the inputs of the two layers of a head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omnivec2.network.config import PRESETS, HeadConfig, NetworkConfig
from omnivec2.network.fc_head import TOKEN_SUMMARIES, FullyConnectedHead
from omnivec2.network.layers import Tokens
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.base import StandardUnitsTokenizer
from omnivec2.spec import TaskFamily
from tests.support.networks.networks import INPUTS, TOKENIZERS

EXPECTED = {
    "token_mean": lambda rows: rows.mean(axis=0),
    "token_max": lambda rows: rows.max(axis=0),
    "token_deviation": lambda rows: np.sqrt(rows.var(axis=0) + 1e-6),
    "token_sum": lambda rows: rows.sum(axis=0),
}


def layers(tokenizer: str, *summaries: str) -> HeadConfig:
    return HeadConfig.model_validate(
        {
            "family": TaskFamily.CLASSIFICATION,
            "tokenizer": tokenizer,
            "outputs": 3,
            "layers": "fc",
            "hidden": 4,
            "summaries": summaries,
        }
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_token_summary_is_of_real_tokens_alone(name: str, masked: bool) -> None:
    rng = np.random.default_rng(0)
    # All below 0: padding must not be the largest.
    tokens = rng.normal(-9.0, 2.0, (3, 6, 5))
    lengths = np.array([6, 4, 1]) if masked else np.array([6, 6, 6])
    given = tokens.copy()
    for row, length in enumerate(lengths):
        given[row, length:] = 100.0
    mask = torch.from_numpy(np.arange(6)[None] < lengths[:, None]) if masked else None
    found = TOKEN_SUMMARIES[name](Tokens(torch.from_numpy(given), mask))
    wanted = [EXPECTED[name](row[:length]) for row, length in zip(tokens, lengths, strict=True)]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-9)


@pytest.mark.parametrize("tokenizer", ["imu", "text"])
def test_a_head_sees_summaries_of_the_tokens_that_its_trunk_gets(tokenizer: str) -> None:
    torch.manual_seed(0)
    names = (
        "mean",
        "token_mean",
        "token_max",
        "token_deviation",
        "token_sum",
        "f_mean",
        "f_input_mean",
    )
    route, plain = f"{tokenizer}/seeing", f"{tokenizer}/plain"
    heads = {route: layers(tokenizer, *names), plain: layers(tokenizer, "mean")}
    config = NetworkConfig.model_validate(
        PRESETS["tiny"].model_dump()
        | {"trunk": PRESETS["tiny"].trunk.model_copy(update={"f_mean": True})}
        | {"tokenizers": {tokenizer: TOKENIZERS[tokenizer]}, "heads": heads}
    )
    network = OmniVec2(config).eval()
    inputs = INPUTS[tokenizer](2)
    if tokenizer == "text":
        inputs["attention_mask"][1, 3:] = 0
    with torch.inference_mode():
        tokens = network.tokenize(route, inputs)
        assert network.tokenize(plain, inputs).extras == {}
        features = network.trunk(tokens)
        wide = network.trunk.f.transformer(tokens.x_BND, tokens.mask_BN)
        head = network.heads[f"{tokenizer}_seeing"]
        assert isinstance(head, FullyConnectedHead)
        found = head.summarise(features).numpy()
        answered = network(route, inputs)["logits"]
        assert torch.equal(answered, head(features)["logits"])
    mask = tokens.mask_BN
    real = np.ones(tokens.x_BND.shape[:2], bool) if mask is None else mask.numpy() > 0
    assert real.all() == (tokenizer == "imu")
    wanted = [
        np.concatenate(
            [features.x_BND[row].numpy()[real[row]].mean(axis=0)]
            + [EXPECTED[name](tokens.x_BND[row].numpy()[real[row]]) for name in names[1:-2]]
            + [wide.numpy()[row][real[row]].mean(axis=0)]
            + [tokens.x_BND[row].numpy()[real[row]].mean(axis=0)]
        )
        for row in range(2)
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tokenizer", sorted(TOKENIZERS))
def test_the_input_itself_is_a_summary_of_tokenizers_that_hand_it_out_alone(tokenizer: str) -> None:
    described = PRESETS["tiny"].model_dump() | {
        "tokenizers": {tokenizer: TOKENIZERS[tokenizer]},
        "heads": {f"{tokenizer}/seeing": layers(tokenizer, "raw")},
    }
    built = TOKENIZERS[tokenizer].build(8)
    if isinstance(built, StandardUnitsTokenizer):
        assert NetworkConfig.model_validate(described).heads
    else:
        with pytest.raises(ValueError, match=f"needs raw, which tokenizer {tokenizer} does not"):
            NetworkConfig.model_validate(described)
