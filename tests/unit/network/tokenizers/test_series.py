"""Series of numbers: how the tokenizers handle holes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from omnivec2.network.tokenizers.series import (
    HyperspectralTokenizer,
    HyperspectralTokenizerConfig,
    ImuTokenizerConfig,
    TimeSeriesTokenizerConfig,
)


def test_neighbours_without_data_count_as_the_middle_pixel():
    tokenizer = HyperspectralTokenizer(HyperspectralTokenizerConfig(bands=6, band_group=4), 16)
    window = torch.rand(1, 7, 7, 6) + 0.1
    holed, filled = window.clone(), window.clone()
    holed[0, 0, :3] = 0.0
    filled[0, 0, :3] = window[0, 3, 3]
    holed_tokens = tokenizer({"window": holed}).x_BND
    assert torch.equal(holed_tokens, tokenizer({"window": filled}).x_BND)
    assert not torch.allclose(holed_tokens, tokenizer({"window": window}).x_BND)


@pytest.mark.parametrize(
    ("config", "inputs"),
    [
        (TimeSeriesTokenizerConfig(context_length=32), {"values": (2, 32)}),
        (ImuTokenizerConfig(window=16, channels=3), {"signal": (2, 16, 3)}),
        (HyperspectralTokenizerConfig(bands=10, window=3, band_group=4), {"window": (2, 3, 3, 10)}),
    ],
)
def test_the_input_itself_is_as_wide_as_the_sizes_say(config: Any, inputs: dict[str, Any]) -> None:
    torch.manual_seed(0)
    arrays = {name: torch.rand(shape) for name, shape in inputs.items()}
    raw = config.build(8).raw(arrays)
    assert raw.shape == (2, config.own_widths["raw"])
    assert torch.isfinite(raw).all()
