"""Training of a picture tokenizer's deep blocks, a branch of its stem, by the teacher's vectors.

The stem is shared with all tasks and stays as it is; the blocks start from EfficientNet's own
weights, and learn to go on from this stem. Its cells are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.network.tokenizers.stem import Stem
from omnivec2.network.tokenizers.visual import ImageTokenizer
from omnivec2.preprocess import Array, Sample, collate
from omnivec2.training.batches import as_tensors

EPOCHS = 8
_BATCH = 128
_BLOCK_RATE, _READ_OUT_RATE = 3e-4, 1e-3
_WARM_UP = 0.1
_WEIGHT_DECAY = 0.02
_NOISE = 0.05
"""The deviation of noise that is added to every other batch, in that of the cells."""


def train_deep_blocks(
    tokenizer: ImageTokenizer,
    samples: Sequence[Sample],
    taught: Array,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
    *,
    epochs: int = EPOCHS,
) -> float:
    """Train the blocks so that a linear map of what they give has the direction of the vectors.

    Args:
        tokenizer: The tokenizer; its deep blocks are trained and frozen again.
        samples: The prepared pictures.
        taught: The vectors, float32 [samples, width].
        seed: The seed of the read-out's start, the order and the noise.
        advance: A callback with the number of samples done since the last; every one is done
            once for its cells, and once in every epoch.
        epochs: The number of passes.

    Returns:
        The mean cosine in the last epoch.
    """
    cells = _cells(tokenizer, samples, advance)
    target = torch.from_numpy(taught)
    generator = torch.Generator().manual_seed(seed)
    blocks = tokenizer.deep.requires_grad_(True).train()
    read_out = nn.Linear(blocks.channels_out, taught.shape[1])
    nn.init.normal_(read_out.weight, std=blocks.channels_out**-0.5, generator=generator)
    nn.init.zeros_(read_out.bias)
    groups = [
        {"params": list(blocks.parameters()), "lr": _BLOCK_RATE},
        {"params": list(read_out.parameters()), "lr": _READ_OUT_RATE},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=_WEIGHT_DECAY)
    batches = -(-len(samples) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [_BLOCK_RATE, _READ_OUT_RATE], total_steps=epochs * batches, pct_start=_WARM_UP
    )
    cosines: list[float] = []
    for _ in range(epochs):
        cosines.clear()
        order = torch.randperm(len(samples), generator=generator)
        for rows in (order[i : i + _BATCH] for i in range(0, len(order), _BATCH)):
            batch = cells[rows].float()
            if len(cosines) % 2:
                noise = torch.randn(batch.shape, generator=generator)
                batch = batch + _NOISE * batch.std() * noise
            cosine = F.cosine_similarity(read_out(blocks(batch)), target[rows]).mean()
            optimiser.zero_grad()
            (1 - cosine).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            cosines.append(cosine.item())
            advance(len(rows))
    blocks.requires_grad_(False).eval()
    return float(np.mean(cosines))


@torch.inference_mode()
def _cells(
    tokenizer: ImageTokenizer, samples: Sequence[Sample], advance: Callable[[int], None]
) -> Tensor:
    """Return the stem's cells of all samples in half precision, [samples, 80, rows, columns]."""
    stem = tokenizer.stem
    assert isinstance(stem, Stem)
    found = []
    for start in range(0, len(samples), _BATCH):
        batch = samples[start : start + _BATCH]
        inputs = as_tensors(collate(batch))
        found.append(stem.earlier(tokenizer.frames(inputs["pixels"])).half())
        advance(len(batch))
    return torch.cat(found).clone()
