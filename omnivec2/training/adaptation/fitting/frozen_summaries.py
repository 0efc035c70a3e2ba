"""The summaries of samples by the frozen network, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn

from omnivec2.network.config import Summary
from omnivec2.network.fc_head import (
    SUMMARIES,
    TRUNK_SUMMARIES,
    summary_width,
)
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.base import StandardUnitsTokenizer
from omnivec2.preprocess import Array, Sample, collate
from omnivec2.training.adaptation.fitting.kept_summaries import (
    KeptSummaries,
    PartialSummaries,
    Summaries,
)
from omnivec2.training.adaptation.fitting.thread_limits import one_thread_per_fit
from omnivec2.training.batches import as_tensors

_BATCH = 32

OPERATIONS_PER_SECOND = 5e10
"""What one core of 2023 does of matrices as large as the trunk's; a nominal figure, so that results
do not depend on how busy a machine is."""


def summarise(
    network: OmniVec2,
    route: str,
    samples: Sequence[Sample],
    folder: Path,
    advance: Callable[[int], None] = lambda _: None,
    *,
    names: Collection[Summary] | None = None,
) -> Summaries:
    """Return summaries of all samples, from disk where this network has summarised them before.

    What is done is kept when Ctrl-C or an error ends the pass, and every half minute.

    Args:
        network: The network in evaluation mode; its trunk and the route's tokenizer are used.
        route: The name of the new head.
        samples: The prepared samples.
        folder: The folder where summaries are kept.
        advance: A callback with the number of samples done since the last.
        names: The summaries that are needed; all there are if None.
    """
    digest = digest_of((network.trunk, network.tokenizers), samples)
    kept = KeptSummaries(folder, digest, len(samples))
    wanted = summary_widths(network, route, names=names)
    found = kept.load(wanted)
    advance(int(found.done.sum()))
    if not found.done.all():
        with kept.keeping(found):
            compute(network, route, samples, advance, names=list(wanted), into=found)
    return found.values


def summary_widths(
    network: OmniVec2, route: str, *, names: Collection[Summary] | None = None
) -> dict[Summary, int]:
    """Return the sizes of summaries of a route's inputs.

    Args:
        network: The network.
        route: The name of the head.
        names: The summaries; all there are if None.
    """
    trunk = network.config.trunk
    own = network.config.tokenizers[network.config.heads[route].tokenizer].own_widths
    sizes = {n: summary_width(n, trunk.g.width, trunk.f.width, own) for n in SUMMARIES}
    return {n: size for n, size in sizes.items() if size and (names is None or n in names)}


def compute(
    network: OmniVec2,
    route: str,
    samples: Sequence[Sample],
    advance: Callable[[int], None] = lambda _: None,
    *,
    names: Collection[Summary] | None = None,
    into: PartialSummaries | None = None,
) -> Summaries:
    """Compute every summary of every sample; samples of similar length share a batch.

    Batches are computed side by side, each by one thread: several threads in one small batch
    take three times the processor time, most of it waiting for each other.

    Args:
        network: The network, as for ``summarise``.
        route: The name of the new head.
        samples: The prepared samples.
        advance: A callback with the number of samples done since the last.
        names: The summaries that are needed; all there are if None.
        into: The summaries that are there already, which is added to.
    """
    wanted = summary_widths(network, route, names=names)
    found = into or PartialSummaries.empty(len(samples), wanted)
    left = np.flatnonzero(~found.done).tolist()
    order = sorted(left, key=lambda i: _length(samples[i]))

    @torch.inference_mode()
    def run(rows: list[int]) -> int:
        batch = [samples[row] for row in rows]
        for name, values in _of_batch(network, route, batch, list(wanted)).items():
            found.values[name][rows] = values
        found.done[rows] = True
        return len(rows)

    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    with one_thread_per_fit(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        try:
            for done in pool.map(run, batches):
                advance(done)
                found.save_if_due()
        except BaseException:
            # Batches that have not begun would otherwise be computed before Ctrl-C has an effect.
            pool.shutdown(cancel_futures=True)
            raise
    return found.values


def _of_batch(
    network: OmniVec2, route: str, samples: Sequence[Sample], names: Sequence[Summary]
) -> dict[Summary, Array]:
    inputs = as_tensors(collate(samples))
    tokenizer = network.tokenizers[network.config.heads[route].tokenizer]
    if set(names) == {"raw"}:
        assert isinstance(tokenizer, StandardUnitsTokenizer)
        return {"raw": tokenizer.raw(inputs).numpy()}
    tokens = network.tokenize(route, inputs, set(names) - TRUNK_SUMMARIES)
    features = network.trunk(tokens) if TRUNK_SUMMARIES & set(names) else tokens
    return {name: SUMMARIES[name](features).numpy() for name in names}


@torch.no_grad()
def trunk_seconds(network: OmniVec2, route: str, sample: Sample) -> float:
    """Return the nominal time of the trunk for a sample: two operations per weight and token."""
    tokens = network.tokenize(route, as_tensors(collate([sample]))).x_BND.shape[1]
    weights = sum(parameter.numel() for parameter in network.trunk.parameters())
    return 2 * weights * tokens / OPERATIONS_PER_SECOND


def _length(sample: Sample) -> int:
    return max(len(array) for array in sample.values())


def digest_of(parts: Sequence[nn.Module], samples: Sequence[Sample]) -> str:
    """Return a name for what frozen parts make of samples: a digest of both."""
    digest = hashlib.sha256()
    for part in parts:
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
