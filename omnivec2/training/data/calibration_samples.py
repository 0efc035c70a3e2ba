"""Real samples of every head, to measure what a network's activations are like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from omnivec2.arrays import Array
from omnivec2.spec import HeadSpec
from omnivec2.training.data import DEFAULT_CACHE, load_task

SAMPLES_PER_HEAD = 16


def calibration_samples(
    heads: Iterable[HeadSpec],
    data_root: Path,
    *,
    per_head: int = SAMPLES_PER_HEAD,
    cache: Path = DEFAULT_CACHE,
) -> dict[str, Sequence[Mapping[str, Array]]]:
    """Return training samples of every head but embeddings, which take the same inputs.

    Args:
        heads: The specs of the heads.
        data_root: The directory of data sets.
        per_head: The number of samples of each head, evenly spaced over its training split.
        cache: The place of prepared arrays.

    Raises:
        ArtifactError: The data of a head is not there.
    """
    chosen: dict[str, Sequence[Mapping[str, Array]]] = {}
    for head in heads:
        if not head.is_embedding:
            train = load_task(head.route, data_root, cache=cache, head=head).splits["train"]
            rows = np.linspace(0, len(train) - 1, min(len(train), per_head)).round().astype(int)
            chosen[head.route] = [train.samples[row] for row in rows]
    return chosen
