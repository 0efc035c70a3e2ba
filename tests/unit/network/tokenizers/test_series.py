"""Series of numbers: how the tokenizers handle holes."""

from __future__ import annotations

import torch

from omnivec2.network.tokenizers.series import HyperspectralTokenizer, HyperspectralTokenizerConfig


def test_neighbours_without_data_count_as_the_middle_pixel():
    tokenizer = HyperspectralTokenizer(HyperspectralTokenizerConfig(bands=6, band_group=4), 16)
    window = torch.rand(1, 7, 7, 6) + 0.1
    holed, filled = window.clone(), window.clone()
    holed[0, 0, :3] = 0.0
    filled[0, 0, :3] = window[0, 3, 3]
    holed_tokens = tokenizer({"window": holed}).x_BND
    assert torch.equal(holed_tokens, tokenizer({"window": filled}).x_BND)
    assert not torch.allclose(holed_tokens, tokenizer({"window": window}).x_BND)
