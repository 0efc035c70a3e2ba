"""Constants of a network that are fitted to data before training: scales and good starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.summarization import Decoder
from omnivec2.network.tokenizers.visual import VisualTokenizer
from omnivec2.preprocess import collate
from omnivec2.spec import TaskFamily
from omnivec2.training.batches import as_tensors
from omnivec2.training.data.base import TaskData
from omnivec2.training.modalities import modality_training
from omnivec2.training.structure.decoder_structure import word_counts
from omnivec2.training.structure.network_structure import tokenizer_name
from omnivec2.training.structure.training_arrays import FITTING_SAMPLES, target_statistics

_STANDARDISING_SAMPLES = 64

_RIDGE = 2e-2
"""Ridge penalty per window of the forecasting residual; values are of order one."""

_SMALLEST_DISTANCE = 1e-3
"""The smallest distance of two quantiles at the start, in deviations of the series."""


def fit_constants(network: OmniVec2, tasks: Sequence[TaskData]) -> None:
    """Fit scaling buffers (inputs of a tokenizer, targets of a head) on the training parts."""
    for task in tasks:
        tokenizer = network.tokenizers[tokenizer_name(task)]
        if isinstance(tokenizer, VisualTokenizer):
            _standardise_projection(tokenizer, task)
        set_input_constants(tokenizer, task)
        if task.family is TaskFamily.FORECASTING:
            _fit_residual(network, task)
        if task.family is TaskFamily.SUMMARIZATION:
            _start_words(network, task)
        if task.family is TaskFamily.REGRESSION:
            mean, deviation = target_statistics(task)
            output = _output_layer(network, task)
            output.get_buffer("location").copy_(torch.as_tensor(mean))
            output.get_buffer("scale").copy_(torch.as_tensor(deviation))


def set_input_constants(tokenizer: nn.Module, task: TaskData) -> None:
    """Set the buffers of a tokenizer that scale its inputs, from a task's training part."""
    buffers = dict(tokenizer.named_buffers())
    for name, value in modality_training(task.modality).tokenizer_constants(task).items():
        buffers[name].copy_(torch.as_tensor(value))


@torch.no_grad()
def _standardise_projection(tokenizer: VisualTokenizer, task: TaskData) -> None:
    """Start a projection as if the stem's features had mean 0 and deviation 1.

    A stem's channels differ a hundredfold in scale: without this the largest dominates, and
    the differences between samples are lost (data-dependent start, Mishkin and Matas, 2016).
    """
    samples = task.splits["train"].samples
    chosen = np.linspace(0, len(samples) - 1, _STANDARDISING_SAMPLES).astype(int)
    seen: list[Tensor] = []
    hook = tokenizer.project.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    tokenizer(as_tensors(collate([samples[int(i)] for i in chosen])))
    hook.remove()
    features = seen[0].flatten(0, -2)
    tokenizer.project.reset_parameters()
    tokenizer.project.weight /= features.std(dim=0) + 1e-3
    tokenizer.project.bias.copy_(-tokenizer.project.weight @ features.mean(dim=0))


def _fit_residual(network: OmniVec2, task: TaskData) -> None:
    """Set a forecasting head's linear residual to its ridge solution, and keep it there.

    Fitted on instance-normalised windows; each counts by its scale, as in the loss. Quantiles start
    as those of the errors of the fit, the same for all series.
    """
    split = task.splits["train"]
    rows = range(0, len(split), max(1, len(split) // (4 * FITTING_SAMPLES)))
    x = np.stack([split.samples[i]["values"] for i in rows]).astype(np.float64)
    y = np.stack([split.targets[i] for i in rows]).astype(np.float64)
    location, scale = x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True) + 1e-6
    weight = scale if split.scales is None else scale / np.asarray(split.scales)[list(rows), None]
    known = np.concatenate([(x - location) / scale, np.ones_like(location)], axis=1) * weight
    gram = known.T @ known
    gram += _RIDGE * len(known) * np.diag([1.0] * x.shape[1] + [0.0])
    solution = np.linalg.solve(gram, known.T @ ((y - location) / scale * weight))
    output = _output_layer(network, task)
    errors = (y - location) / scale - (known / weight) @ solution
    with torch.no_grad():
        mean_weight, mean_bias = torch.as_tensor(solution[:-1].T), torch.as_tensor(solution[-1])
        weights, biases = [mean_weight], [mean_bias]
        if task.quantiles:
            # The lowest quantile is the mean and an offset; each of the others is a distance more.
            offsets = torch.as_tensor(np.quantile(errors, task.quantiles, axis=0))
            distances = offsets.diff(dim=0).clamp(min=_SMALLEST_DISTANCE)
            weights += [mean_weight, *(torch.zeros_like(mean_weight) for _ in distances)]
            biases += [mean_bias + offsets[0], *torch.log(torch.expm1(distances))]
        output.get_parameter("residual.weight").copy_(torch.cat(weights))
        output.get_parameter("residual.bias").copy_(torch.cat(biases))
    # It is the least-squares optimum: gradient steps on small batches only move it away.
    output.get_submodule("residual").requires_grad_(False)


@torch.no_grad()
def _start_words(network: OmniVec2, task: TaskData) -> None:
    """Start a decoder's words near each other where the tokenizer's are, at their frequencies.

    They are projected to the principal components of the tokenizer's words, and scaled to a
    mean length of 1.
    """
    decoder = _output_layer(network, task).get_submodule("decoder")
    assert isinstance(decoder, Decoder)
    ids = decoder.ids
    words = network.tokenizers[tokenizer_name(task)].get_parameter("words.weight")[ids]
    mean = words.mean(dim=0)
    _, _, axes = torch.linalg.svd(words - mean, full_matrices=False)
    width = min(decoder.words.out_features, len(axes))
    axes = axes[:width] / ((words - mean) @ axes[:width].T).norm(dim=1).mean()
    decoder.words.weight[:width] = axes
    decoder.words.bias[:width] = -axes @ mean
    counts = word_counts(task.splits["train"].samples)[ids.numpy()]
    decoder.bias.copy_(torch.log(torch.as_tensor((counts + 1) / (counts + 1).sum())))


def _output_layer(network: OmniVec2, task: TaskData) -> nn.Module:
    return network.heads[module_name(task.route)].get_submodule("output")
