"""Videos: the content of a tubelet token."""

from __future__ import annotations

import torch

from omnivec2.network.tokenizers.visual import VideoTokenizer, VisualTokenizerConfig
from omnivec2.spec import Modality


def _tokenizer() -> VideoTokenizer:
    config = VisualTokenizerConfig(
        modality=Modality.VIDEO, stem_blocks=8, tubelet=(2, 2, 2), grid=(2, 1, 1)
    )
    return VideoTokenizer(config, 16)


def test_a_clip_in_which_nothing_moves_is_described_by_its_means_alone():
    tokenizer = _tokenizer()
    cells = torch.rand(1, 2, 1, 1, 1, tokenizer.stem.channels_out, 2, 2)
    still = tokenizer.describe(cells.expand(-1, -1, -1, -1, 2, -1, -1, -1))
    mean, change = still.chunk(2, dim=-1)
    assert torch.allclose(mean, cells.mean(dim=(4, 6, 7)))
    assert torch.equal(change, torch.zeros_like(change))


def test_a_clip_played_backwards_moves_as_much_as_forwards():
    tokenizer = _tokenizer()
    cells = torch.rand(1, 2, 1, 1, 2, tokenizer.stem.channels_out, 2, 2)
    assert torch.allclose(tokenizer.describe(cells), tokenizer.describe(cells.flip(4)))
