"""Constants of a network that are fitted to data before training: scales and good starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.summarization import Decoder
from omnivec2.network.tokenizers.visual import VisualTokenizer
from omnivec2.preprocess import collate
from omnivec2.spec import Modality, TaskFamily
from omnivec2.training.batches import as_tensors
from omnivec2.training.data.base import TaskData
from omnivec2.training.structure.decoder_structure import word_counts
from omnivec2.training.structure.network_structure import TABULAR_PIECES, tokenizer_name

FITTING_SAMPLES = 4000
"""Training samples that scaling constants are estimated from."""

_STANDARDISING_SAMPLES = 64

_RIDGE = 2e-2
"""Ridge penalty per window of the forecasting residual; values are of order one."""


def fit_constants(network: OmniVec2, tasks: Sequence[TaskData]) -> None:
    """Fit scaling buffers (inputs of a tokenizer, targets of a head) on the training parts."""
    for task in tasks:
        tokenizer = network.tokenizers[tokenizer_name(task)]
        if isinstance(tokenizer, VisualTokenizer):
            _standardise_projection(tokenizer, task)
        buffers = dict(tokenizer.named_buffers())
        for name, value in input_constants(task).items():
            buffers[name].copy_(torch.as_tensor(value))
        if task.family is TaskFamily.FORECASTING:
            _fit_residual(network, task)
        if task.family is TaskFamily.SUMMARIZATION:
            _start_words(network, task)
        if task.family is TaskFamily.REGRESSION:
            targets = np.stack(list(task.splits["train"].targets))
            output = _output_layer(network, task)
            output.get_buffer("location").copy_(torch.as_tensor(targets.mean(axis=0)))
            output.get_buffer("scale").copy_(torch.as_tensor(targets.std(axis=0)))


@torch.no_grad()
def _standardise_projection(tokenizer: VisualTokenizer, task: TaskData) -> None:
    """Start a projection as if the stem's features had mean 0 and deviation 1.

    A stem's channels differ a hundredfold in scale: without this the largest decides, and
    what tells samples apart is lost (data-dependent start, Mishkin and Matas, 2016).
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

    Fitted on instance-normalised windows; each counts by its scale, as in the loss.
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
    with torch.no_grad():
        horizon = y.shape[1]
        output.get_parameter("residual.weight")[:horizon] = torch.as_tensor(solution[:-1].T)
        output.get_parameter("residual.bias")[:horizon] = torch.as_tensor(solution[-1])
    # It is the best line there is: gradient steps on small batches only move it away.
    fitted_whole = horizon == output.get_parameter("residual.bias").shape[0]
    output.get_submodule("residual").requires_grad_(not fitted_whole)


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


def input_constants(task: TaskData) -> Mapping[str, np.ndarray]:
    """Scaling constants of a task's tokenizer: buffer -> value; none for most modalities."""
    return _CONSTANTS.get(task.modality, _nothing)(task)


def _output_layer(network: OmniVec2, task: TaskData) -> nn.Module:
    return network.heads[module_name(task.route)].get_submodule("output")


def _nothing(_: TaskData) -> Mapping[str, np.ndarray]:
    return {}


def _some(task: TaskData, name: str) -> np.ndarray:
    """Evenly chosen training arrays of one input, stacked."""
    samples = task.splits["train"].samples
    step = max(1, len(samples) // FITTING_SAMPLES)
    return np.stack([samples[i][name] for i in range(0, len(samples), step)])


def _imu_constants(task: TaskData) -> Mapping[str, np.ndarray]:
    signal = _some(task, "signal").reshape(-1, task.splits["train"].samples[0]["signal"].shape[-1])
    return {"mean": signal.mean(axis=0), "std": signal.std(axis=0) + 1e-6}


def _hyperspectral_constants(task: TaskData) -> Mapping[str, np.ndarray]:
    window = _some(task, "window")
    centre = window[:, window.shape[1] // 2, window.shape[2] // 2]
    low = centre.min(axis=0)
    return {"low": low, "span": np.maximum(centre.max(axis=0) - low, 1e-6)}


def _tabular_constants(task: TaskData) -> Mapping[str, np.ndarray]:
    numbers, missing = _some(task, "numbers"), _some(task, "missing") > 0
    known = np.ma.masked_array(numbers.astype(np.float64), missing)
    mean = np.asarray(known.mean(axis=0).filled(0.0))
    std = np.maximum(np.asarray(known.std(axis=0).filled(1.0)), 1e-6)
    columns = [known[:, i].compressed() for i in range(known.shape[1])]
    edges = [(_edges(values) - mean[i]) / std[i] for i, values in enumerate(columns)]
    return {"mean": mean, "std": std} | ({"piecewise.edges": np.stack(edges)} if edges else {})


def _edges(values: np.ndarray) -> np.ndarray:
    """Edges of a column's pieces: quantiles of its values, and of its different values.

    The former give every piece as many rows, the latter tell the rare large ones apart where
    most rows hold the same (a capital gain of 0).
    """
    if not len(values):
        return np.linspace(-1, 1, TABULAR_PIECES + 1)
    half = TABULAR_PIECES // 2
    of_rows = np.quantile(values, np.linspace(0, 1, TABULAR_PIECES - half))
    of_values = np.quantile(np.unique(values), np.linspace(0, 1, half + 1))
    return np.sort(np.concatenate([of_rows, of_values]))


_CONSTANTS: dict[Modality, Callable[[TaskData], Mapping[str, np.ndarray]]] = {
    Modality.IMU: _imu_constants,
    Modality.HYPERSPECTRAL: _hyperspectral_constants,
    Modality.TABULAR: _tabular_constants,
}
