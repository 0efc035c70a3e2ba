"""Visual tokenizers: the content of a video's tubelet token, and the branch of a picture's stem."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from omnivec2.network.tokenizers.stem import BLOCKS, LATER_BLOCKS, deep_places
from omnivec2.network.tokenizers.visual import ImageTokenizer, VideoTokenizer, VisualTokenizerConfig
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


def _picture_tokenizer(deep_blocks: int = 5) -> ImageTokenizer:
    torch.manual_seed(0)
    config = VisualTokenizerConfig(modality=Modality.IMAGE, deep_blocks=deep_blocks, grid=(1, 2, 2))
    return ImageTokenizer(config, 16).eval()


def test_a_branch_of_the_stem_is_handed_out_beside_the_same_tokens():
    tokenizer = _picture_tokenizer()
    inputs = {"pixels": torch.randint(0, 255, (3, 32, 32, 3), dtype=torch.uint8)}
    with torch.inference_mode():
        plain, deep = tokenizer(inputs), tokenizer.forward_own(inputs)
        cells = tokenizer.frames(inputs["pixels"])
        cells = torch.nn.functional.relu6(tokenizer.stem.first(cells))
        for block in tokenizer.stem.blocks[:8]:
            cells = block(cells)
        for block in tokenizer.deep.blocks:
            cells = block(cells)
    assert torch.equal(deep.x_BND, plain.x_BND)
    assert not plain.extras
    assert torch.equal(deep.extras["deep"], cells.mean(dim=(2, 3)))
    assert deep.extras["deep"].shape == (3, LATER_BLOCKS[-1][1])


def test_a_tokenizer_without_a_branch_hands_nothing_out():
    tokenizer = _picture_tokenizer(0)
    inputs = {"pixels": torch.zeros((1, 32, 32, 3), dtype=torch.uint8)}
    assert not tokenizer.forward_own(inputs).extras


@pytest.mark.parametrize("blocks", [5, 6, 7, 8])
def test_deep_blocks_fit_each_other_and_the_stem(blocks: int):
    sizes = [(BLOCKS + LATER_BLOCKS)[place] for place in deep_places(blocks)]
    assert len(sizes) == blocks
    assert sizes[0][0] == BLOCKS[7][1]
    assert [size[0] for size in sizes[1:]] == [size[1] for size in sizes[:-1]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deep_blocks": 4}, "5 to 8 deep blocks"),
        ({"deep_blocks": 9}, "5 to 8 deep blocks"),
        ({"stem_blocks": 7}, "follow 8 blocks"),
        ({"stem": "patches"}, "follow 8 blocks"),
        ({"modality": Modality.VIDEO}, "follow 8 blocks of an image's"),
    ],
)
def test_deep_blocks_that_cannot_be_are_refused(changes: dict[str, Any], message: str):
    fields = {"modality": Modality.IMAGE, "deep_blocks": 6, "grid": (1, 2, 2)} | changes
    with pytest.raises(ValidationError, match=message):
        VisualTokenizerConfig(**fields)
