"""The fit: a linear map from the frozen network's summaries to a teacher's vectors.

Inputs that a teacher's vectors hardly tell apart may differ in what the frozen network has of them,
such as the words of a sentence. A head may keep summaries of its network
beside what it was taught: a cosine of its answers then weighs up the teacher's and the summaries'.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from omnivec2.atomic_files import write_file
from omnivec2.network.config import HeadConfig, Summary
from omnivec2.network.fc_head import NONE_OF_ITS_OWN, FullyConnectedHead
from omnivec2.preprocess import Array, Sample, collate
from omnivec2.training.adaptation.fitting.fit_layers import standardise
from omnivec2.training.adaptation.fitting.frozen_summaries import digest_of, joined
from omnivec2.training.adaptation.fitting.kept_summaries import Summaries
from omnivec2.training.adaptation.fitting.linear_map import PENALTIES, LinearMap, fit_linear_map
from omnivec2.training.adaptation.fitting.thread_limits import one_thread_per_fit
from omnivec2.training.batches import as_tensors
from omnivec2.training.distillation.teachers import Teacher

_BATCH = 32
_HELD_OUT = 0.1
_SMALLEST_LENGTH = 1e-12


@dataclass(frozen=True)
class KeptSummary:
    """A summary of the frozen network that a head keeps beside what it is taught.

    Attributes:
        name: The summary, one of those that the head sees.
        weight: The mean length of this part, where the taught part has 1.
        axes: The number of its axes that are kept, those on which inputs differ most.
        evenness: The degree to which axes with little variance are enlarged, as a teacher's.
    """

    name: Summary
    weight: float
    axes: int
    evenness: float


@dataclass(frozen=True)
class Distilled:
    """A fitted head.

    Attributes:
        head: The head in evaluation mode.
        penalty: The penalty that was chosen on inputs held out of the fit.
        likeness: The mean cosine of its answers and the teacher's vectors on those inputs.
    """

    head: FullyConnectedHead
    penalty: float
    likeness: float


def kept_vectors(
    teacher: Teacher,
    samples: Sequence[Sample],
    folder: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> Array:
    """Return :func:`vectors_of`, from disk if this teacher has been asked for them before.

    Args:
        teacher: The teacher.
        samples: The prepared samples.
        folder: The folder where vectors are kept.
        advance: A callback with the number of samples done since the last.
    """
    file = folder / f"{digest_of((teacher,), samples)}.safetensors"
    try:
        vectors = load_file(file)["vectors"]
    except (OSError, SafetensorError):
        vectors = vectors_of(teacher, samples, advance)
        folder.mkdir(parents=True, exist_ok=True)
        write_file(file, save({"vectors": vectors}))
    else:
        advance(len(samples))
    return vectors


def vectors_of(
    teacher: Teacher, samples: Sequence[Sample], advance: Callable[[int], None] = lambda _: None
) -> Array:
    """Return the teacher's vectors of all samples, of length 1: float32 [samples, width].

    Batches are computed side by side, each by one thread.
    """
    if not samples:
        raise ValueError("no samples to be taught on")
    order = sorted(range(len(samples)), key=lambda i: max(map(len, samples[i].values())))
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]

    @torch.inference_mode()
    def run(rows: list[int]) -> Array:
        return np.asarray(teacher(as_tensors(collate([samples[row] for row in rows]))).numpy())

    found = []
    with one_thread_per_fit(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for rows, vectors in zip(batches, pool.map(run, batches), strict=True):
            found.append(vectors)
            advance(len(rows))
    in_order = np.empty((len(samples), found[0].shape[1]), np.float32)
    in_order[order] = np.concatenate(found)
    return _of_length_one(in_order)


def axes_of(
    vectors: Array, dimensions: int, *, is_centred: bool, evenness: float = 0.0
) -> tuple[Array, Array]:
    """Return the mean and the axes on which vectors differ most, in that order.

    On these axes a vector may be cut off at any length: what is left is the best of that length.

    Args:
        vectors: The teacher's vectors [samples, width].
        dimensions: The number of axes.
        is_centred: Whether the mean is subtracted; otherwise it is 0.
        evenness: The power of its spread that every axis is divided by.

    Returns:
        The mean [width] and the axes [dimensions, width], of length 1 where evenness is 0.
    """
    mean = vectors.mean(axis=0) if is_centred else np.zeros(vectors.shape[1], np.float32)
    _, spread, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    divisors = (spread[:dimensions] / np.sqrt(len(vectors))) ** evenness
    return mean, axes[:dimensions] / divisors[:, None]


def distil(
    config: HeadConfig, summaries: Summaries, taught: Array, widths: tuple[int, int],
    kept: Sequence[KeptSummary] = (), own_widths: Mapping[str, int] = NONE_OF_ITS_OWN,
) -> Distilled:  # fmt: skip
    """Fit a head to vectors; the penalty is chosen on a tenth of the inputs.

    Args:
        config: The head, with two hidden units per output.
        summaries: The summaries that it sees, by name, float32 [samples, their widths].
        taught: The vectors that it learns, float32 [samples, outputs].
        widths: The widths of g and of f.
        kept: The summaries that it keeps; the outputs are the axes on which what is taught and
            kept differs most.
        own_widths: The sizes of the summaries that only its tokenizer hands out.
    """
    head = FullyConnectedHead(config, *widths, own_widths).requires_grad_(False)
    seen = joined(summaries, config.summaries)
    standardise(head, torch.from_numpy(seen))
    std = head.std.numpy()
    x = (seen - seen.mean(axis=0)) / std
    held = np.random.default_rng(0).random(len(x)) < _HELD_OUT
    weights = np.ones(len(x))
    scored = []
    for penalty in PENALTIES["quantities"]:
        fitted = fit_linear_map(x[~held], taught[~held], weights[~held], penalty, classes=0)
        cosines = (_of_length_one(fitted.answers(x[held])) * _of_length_one(taught[held])).sum(1)
        scored.append((float(cosines.mean()), penalty))
    likeness, penalty = max(scored)
    fitted = fit_linear_map(x, taught, weights, penalty, classes=0)
    if kept:
        parts = [_part_of_mean_length_one(fitted, x)]
        for summary in kept:
            own = _own_part(summary, config.summaries, summaries, std)
            scaled = _part_of_mean_length_one(own, x)
            parts.append(LinearMap(summary.weight * scaled.weight, summary.weight * scaled.bias))
        fitted = _reduced(parts, x, config.outputs)
    fitted.set_into(head)
    return Distilled(head.eval(), penalty, likeness)


def _own_part(
    kept: KeptSummary, names: Sequence[Summary], summaries: Summaries, std: Array
) -> LinearMap:
    """Return the axes of a kept summary as a map of all summaries in standard units."""
    start = sum(summaries[name].shape[1] for name in names[: names.index(kept.name)])
    own = summaries[kept.name]
    _, axes = axes_of(own, kept.axes, is_centred=True, evenness=kept.evenness)
    weight = np.zeros((len(axes), len(std)))
    place = slice(start, start + own.shape[1])
    weight[:, place] = axes * std[place]
    return LinearMap(weight, np.zeros(len(axes)))


def _part_of_mean_length_one(part: LinearMap, x: Array) -> LinearMap:
    """Return a map whose answers to x have the mean length 1."""
    length = np.linalg.norm(part.answers(x), axis=1).mean()
    return LinearMap(part.weight / length, part.bias / length)


def _reduced(parts: Sequence[LinearMap], x: Array, outputs: int) -> LinearMap:
    """Return several maps side by side, on the axes on which their answers to x differ most."""
    weight = np.concatenate([part.weight for part in parts])
    bias = np.concatenate([part.bias for part in parts])
    answers = LinearMap(weight, bias).answers(x)
    # The lengths and cosines of answers are kept, so nothing is subtracted.
    _, axes = axes_of(answers, outputs, is_centred=False)
    return LinearMap(axes @ weight, axes @ bias)


def _of_length_one(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, _SMALLEST_LENGTH))
