"""The summaries of samples by the frozen network, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from torch import Tensor

from omnivec2.atomic_files import write_file
from omnivec2.network.config import Summary
from omnivec2.network.fc_head import SUMMARIES, TOKEN_SUMMARIES, summary_width
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers import Tokenizer
from omnivec2.preprocess import Array, Sample, collate
from omnivec2.training.adaptation.fitting.thread_limits import one_thread_per_fit
from omnivec2.training.batches import as_tensors

Summaries = Mapping[Summary, Array]
"""The summaries of samples by name, float32 [samples, width]."""

_BATCH = 32


def summarise(
    network: OmniVec2,
    route: str,
    samples: Sequence[Sample],
    folder: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> Summaries:
    """Return summaries of all samples, from disk if this network has summarised them before.

    Args:
        network: The network in evaluation mode; its trunk and the route's tokenizer are used.
        route: The name of the new head.
        samples: The prepared samples.
        folder: The folder where summaries are kept.
        advance: A callback with the number of samples done since the last.
    """
    file = folder / f"{_digest(network, samples)}.safetensors"
    try:
        kept = load_file(file)
    except (OSError, SafetensorError):
        kept = {}
    if kept.keys() >= summary_widths(network, route).keys():
        advance(len(samples))
        return {cast(Summary, name): array for name, array in kept.items()}
    summaries = compute(network, route, samples, advance)
    folder.mkdir(parents=True, exist_ok=True)
    write_file(file, save({str(name): array for name, array in summaries.items()}))
    return summaries


def summary_widths(network: OmniVec2, route: str) -> dict[Summary, int]:
    """Return the size of every summary that there is of a route's inputs."""
    trunk = network.config.trunk
    raw_width = network.config.tokenizers[network.config.heads[route].tokenizer].raw_width
    sizes = {n: summary_width(n, trunk.g.width, trunk.f.width, raw_width) for n in SUMMARIES}
    return {name: size for name, size in sizes.items() if size}


def compute(
    network: OmniVec2,
    route: str,
    samples: Sequence[Sample],
    advance: Callable[[int], None] = lambda _: None,
) -> Summaries:
    """Compute every summary of every sample; samples of similar length share a batch.

    Batches are computed side by side, each by one thread: several threads in one small batch
    take three times the processor time, most of it waiting for each other.
    """
    order = sorted(range(len(samples)), key=lambda i: _length(samples[i]))
    summaries = {
        name: np.empty((len(samples), size), np.float32)
        for name, size in summary_widths(network, route).items()
    }

    @torch.inference_mode()
    def run(rows: list[int]) -> int:
        for name, values in _of_batch(network, route, [samples[row] for row in rows]).items():
            summaries[name][rows] = values
        return len(rows)

    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    with one_thread_per_fit(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done in pool.map(run, batches):
            advance(done)
    return summaries


def _of_batch(network: OmniVec2, route: str, samples: Sequence[Sample]) -> dict[Summary, Array]:
    inputs = as_tensors(collate(samples))
    tokens = network.tokenize(route, inputs)
    before: dict[str, Tensor] = {name: make(tokens) for name, make in TOKEN_SUMMARIES.items()}
    tokenizer = network.tokenizers[network.config.heads[route].tokenizer]
    assert isinstance(tokenizer, Tokenizer)
    widths = summary_widths(network, route)
    if "raw" in widths:
        before["raw"] = tokenizer.raw(inputs)
    features = network.trunk(tokens)
    features.extras |= before
    return {name: SUMMARIES[name](features).numpy() for name in widths}


def _length(sample: Sample) -> int:
    return max(len(array) for array in sample.values())


def _digest(network: OmniVec2, samples: Sequence[Sample]) -> str:
    digest = hashlib.sha256()
    for part in (network.trunk, network.tokenizers):
        for name, value in part.state_dict().items():
            digest.update(name.encode())
            digest.update(value.numpy().tobytes())
    for sample in samples:
        for name, array in sample.items():
            digest.update(f"{name}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def joined(summaries: Summaries, names: Sequence[Summary]) -> Array:
    """Join chosen summaries side by side: float32 [samples, sum of their widths]."""
    return np.concatenate([summaries[name] for name in names], axis=1)
