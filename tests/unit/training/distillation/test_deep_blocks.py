"""The branch of a picture tokenizer's stem, and how it is taught."""

from __future__ import annotations

import numpy as np
import torch

from omnivec2.network.tokenizers.stem import Stem
from omnivec2.network.tokenizers.visual import ImageTokenizer, VisualTokenizerConfig
from omnivec2.network.warmstart import efficientnet_weights, load_deep_blocks, load_stem
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import Modality
from omnivec2.training.distillation.deep_blocks import train_deep_blocks

COUNT, EPOCHS = 32, 40


def _tokenizer() -> ImageTokenizer:
    torch.manual_seed(0)
    config = VisualTokenizerConfig(modality=Modality.IMAGE, deep_blocks=5, grid=(1, 2, 2))
    tokenizer = ImageTokenizer(config, 16).requires_grad_(False).eval()
    assert isinstance(tokenizer.stem, Stem)
    load_stem(tokenizer.stem, efficientnet_weights())
    load_deep_blocks(tokenizer.deep)
    return tokenizer


def _lesson() -> tuple[list[Sample], Array]:
    """Pictures that are brighter on one side; which one it is gives their vectors."""
    rng = np.random.default_rng(0)
    sides = rng.integers(0, 2, COUNT)
    pictures = rng.integers(0, 60, (COUNT, 32, 32, 3))
    for picture, side in zip(pictures, sides, strict=True):
        picture[:, 16 * side : 16 * side + 16] += 150
    taught = np.where(sides[:, None], [1.0, 0.2], [-1.0, 0.2]).astype(np.float32)
    return [{"pixels": picture.astype(np.uint8)} for picture in pictures], taught


def test_blocks_learn_the_direction_of_vectors_and_nothing_else_changes() -> None:
    tokenizer, (samples, taught) = _tokenizer(), _lesson()
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    done: list[int] = []
    cosine = train_deep_blocks(tokenizer, samples, taught, 0, done.append, epochs=EPOCHS)
    assert cosine > 0.95
    assert sum(done) == COUNT * (1 + EPOCHS)
    after = tokenizer.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("deep.blocks.") for name in changed)
    assert not any(parameter.requires_grad for parameter in tokenizer.parameters())
    assert not tokenizer.deep.training


def test_training_repeats() -> None:
    found = []
    for _ in range(2):
        tokenizer, (samples, taught) = _tokenizer(), _lesson()
        train_deep_blocks(tokenizer, samples, taught, 3, epochs=1)
        found.append(tokenizer.deep.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
