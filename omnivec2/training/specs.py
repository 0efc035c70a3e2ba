"""From data to structure: tokenizers, heads and head specs of the tasks of a recipe.

Sizes that depend on data (columns of a table, bands of a sensor, classes) are read off
the task data; constants that scale inputs are fitted on the training part and stored in
the network's buffers, so that they travel inside the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from omnivec2.network.config import (
    PRESETS,
    GraphTokenizerConfig,
    HeadConfig,
    HyperspectralTokenizerConfig,
    ImuTokenizerConfig,
    NetworkConfig,
    PointCloudTokenizerConfig,
    TabularTokenizerConfig,
    TextTokenizerConfig,
    TimeSeriesTokenizerConfig,
    TokenizerConfig,
    VisualTokenizerConfig,
)
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.network.tokenizers.stem import STRIDE
from omnivec2.preprocess import preprocessor_for
from omnivec2.preprocess.graph import ATOM_FIELD_SIZES, BOND_FIELD_SIZES
from omnivec2.spec import HeadSpec, Modality, TaskFamily, TensorSpec
from omnivec2.training.data.base import TaskData

FITTING_SAMPLES = 4000
"""Training samples that scaling constants are estimated from."""

_RIDGE = 2e-2
"""Ridge penalty per window of the forecasting residual; values are of order one."""

_SCENE_GRID = (12, 16)  # cells of the 192 x 256 pictures of detection and segmentation


def _visual(
    modality: Modality,
    grid: tuple[int, int, int],
    *,
    blocks: int = 8,
    tubelet: tuple[int, int, int] = (1, 1, 1),
) -> Callable[[TaskData], TokenizerConfig]:
    config = VisualTokenizerConfig.model_validate(
        {"modality": modality, "stem_blocks": blocks, "tubelet": tubelet, "grid": grid}
    )
    return lambda _: config


def _tabular(task: TaskData) -> TokenizerConfig:
    columns = task.preprocess.parameters["columns"]
    assert isinstance(columns, list)
    categories = [c["categories"] for c in columns if c["kind"] == "category"]  # type: ignore[call-overload,index]
    return TabularTokenizerConfig(
        numbers=len(columns) - len(categories),
        cardinalities=tuple(2 + len(known) for known in categories),  # type: ignore[arg-type]
    )


def _hyperspectral(task: TaskData) -> TokenizerConfig:
    sample = task.splits["train"].samples[0]["window"]
    return HyperspectralTokenizerConfig(bands=sample.shape[2], window=sample.shape[0])


def _imu(task: TaskData) -> TokenizerConfig:
    window, channels = task.splits["train"].samples[0]["signal"].shape
    return ImuTokenizerConfig(window=window, channels=channels)


def _timeseries(task: TaskData) -> TimeSeriesTokenizerConfig:
    return TimeSeriesTokenizerConfig(
        context_length=task.splits["train"].samples[0]["values"].shape[0]
    )


TOKENIZER_CONFIGS: dict[Modality, Callable[[TaskData], TokenizerConfig]] = {
    Modality.IMAGE: _visual(Modality.IMAGE, (1, *_SCENE_GRID), blocks=11),
    Modality.VIDEO: _visual(Modality.VIDEO, (4, 3, 4), tubelet=(2, 2, 2)),
    Modality.AUDIO: _visual(Modality.AUDIO, (1, 16, 4), tubelet=(1, 2, 2)),
    Modality.TEXT: lambda _: TextTokenizerConfig(),
    Modality.DEPTH: _visual(Modality.DEPTH, (4, 4, 5), tubelet=(4, 1, 1)),
    Modality.POINTCLOUD: lambda _: PointCloudTokenizerConfig(),
    Modality.TIMESERIES: _timeseries,
    Modality.TABULAR: _tabular,
    Modality.GRAPH: lambda _: GraphTokenizerConfig(
        node_cardinalities=tuple(ATOM_FIELD_SIZES), edge_cardinalities=tuple(BOND_FIELD_SIZES)
    ),
    Modality.XRAY: _visual(Modality.XRAY, (1, 6, 6)),
    Modality.INFRARED: _visual(Modality.INFRARED, (1, 4, 4)),
    Modality.IMU: _imu,
    Modality.HYPERSPECTRAL: _hyperspectral,
}

PER_TASK_TOKENIZERS = frozenset({Modality.TABULAR})
"""Modalities whose tokenizer belongs to one data set: a table's columns are its own."""


def tokenizer_name(task: TaskData) -> str:
    """Key of a task's tokenizer: its modality, or modality and task."""
    if task.modality in PER_TASK_TOKENIZERS:
        return module_name(task.route)
    return task.modality.value


def head_config(task: TaskData) -> HeadConfig:
    """The head that a task's family and data ask for."""
    name = tokenizer_name(task)
    outputs = task.horizon or len(task.labels) or len(task.targets)
    config = HeadConfig(family=task.family, tokenizer=name, outputs=outputs)
    extra: dict[str, object] = {}
    if task.family is TaskFamily.FORECASTING:
        tokenizer = _timeseries(task)
        extra = {"tokens": tokenizer.tokens, "context": tokenizer.context_length}
    pixels = task.splits["train"].samples[0].get("pixels")
    if task.family in (TaskFamily.DETECTION, TaskFamily.SEGMENTATION) and pixels is not None:
        height, width = pixels.shape[:2]
        extra |= {"grid": (height // STRIDE, width // STRIDE), "layout": "token"}
    return config.model_copy(update=extra)


def embedding_route(modality: Modality) -> str:
    """The route of a modality's embedding."""
    return f"{modality.value}/{TaskFamily.EMBEDDING.value}"


def network_config(preset: str, tasks: Sequence[TaskData]) -> NetworkConfig:
    """A preset with the tokenizers and heads of tasks, and an embedding per modality.

    A modality's embedding uses the tokenizer of the first of its tasks.
    """
    tokenizers: dict[str, TokenizerConfig] = {}
    heads: dict[str, HeadConfig] = {}
    for task in tasks:
        name = tokenizer_name(task)
        tokenizers.setdefault(name, TOKENIZER_CONFIGS[task.modality](task))
        heads[task.route] = head_config(task)
        heads.setdefault(
            embedding_route(task.modality),
            HeadConfig(family=TaskFamily.EMBEDDING, tokenizer=name),
        )
    base = PRESETS[preset].model_dump()
    return NetworkConfig.model_validate(base | {"tokenizers": tokenizers, "heads": heads})


def fit_constants(network: OmniVec2, tasks: Sequence[TaskData]) -> None:
    """Fit scaling buffers (inputs of a tokenizer, targets of a head) on the training parts."""
    for task in tasks:
        buffers = dict(network.tokenizers[tokenizer_name(task)].named_buffers(recurse=False))
        for name, value in _CONSTANTS.get(task.modality, _nothing)(task).items():
            buffers[name].copy_(torch.as_tensor(value))
        if task.family is TaskFamily.FORECASTING:
            _fit_residual(network, task)
        if task.family is TaskFamily.REGRESSION:
            targets = np.stack(list(task.splits["train"].targets))
            output = _output_layer(network, task)
            output.get_buffer("location").copy_(torch.as_tensor(targets.mean(axis=0)))
            output.get_buffer("scale").copy_(torch.as_tensor(targets.std(axis=0)))


def _fit_residual(network: OmniVec2, task: TaskData) -> None:
    """Start a forecasting head's linear residual at its ridge solution.

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
    return {
        "mean": np.asarray(known.mean(axis=0).filled(0.0)),
        "std": np.maximum(np.asarray(known.std(axis=0).filled(1.0)), 1e-6),
    }


_CONSTANTS: dict[Modality, Callable[[TaskData], Mapping[str, np.ndarray]]] = {
    Modality.IMU: _imu_constants,
    Modality.HYPERSPECTRAL: _hyperspectral_constants,
    Modality.TABULAR: _tabular_constants,
}


def head_specs(
    network: OmniVec2, tasks: Sequence[TaskData], served: set[str], warm_starts: Mapping[str, str]
) -> list[HeadSpec]:
    """The spec of every served head and of every modality's embedding."""
    specs = []
    width = network.config.trunk.g.width
    first: dict[Modality, TaskData] = {}
    for task in tasks:
        first.setdefault(task.modality, task)
        if task.route in served:
            specs.append(_head_spec(network, task, warm_starts))
    for modality, task in first.items():
        embedding = TensorSpec(name="embedding", dtype="float32", shape=(width,))
        specs.append(
            _head_spec(network, task, warm_starts).model_copy(
                update={
                    "task": TaskFamily.EMBEDDING.value,
                    "family": TaskFamily.EMBEDDING,
                    "description": f"The trunk's mean feature of {modality.value} input.",
                    "outputs": (embedding,),
                    "labels": (),
                    "targets": (),
                    "horizon": None,
                }
            )
        )
    return specs


def _head_spec(network: OmniVec2, task: TaskData, warm_starts: Mapping[str, str]) -> HeadSpec:
    preprocessor = preprocessor_for(task.preprocess)
    parts = ("trunk", f"tokenizers.{tokenizer_name(task)}")
    return HeadSpec(
        modality=task.modality,
        task=task.route.partition("/")[2],
        family=task.family,
        description=task.description,
        inputs=preprocessor.inputs,
        outputs=_outputs(network.config.heads[task.route], len(task.targets)),
        preprocess=task.preprocess,
        labels=task.labels,
        targets=task.targets,
        horizon=task.horizon,
        limits=preprocessor.limits,
        data=task.sources,
        warm_starts=tuple(
            dict.fromkeys(w for part, w in warm_starts.items() if part.startswith(parts))
        ),
        network=network.config.preset,
    )


def _outputs(head: HeadConfig, targets: int) -> tuple[TensorSpec, ...]:
    """Names and shapes as the head's output layer makes them."""

    def tensor(name: str, *shape: int) -> TensorSpec:
        return TensorSpec(name=name, dtype="float32", shape=shape)

    if head.family is TaskFamily.DETECTION and head.grid:
        queries = head.grid[0] * head.grid[1]
        return tensor("logits", queries, head.outputs + 1), tensor("boxes", queries, 4)
    if head.family is TaskFamily.SEGMENTATION and head.grid:
        rows, columns = (side * head.upsample for side in head.grid)
        return (tensor("logits", head.outputs, rows, columns),)
    if head.family is TaskFamily.REGRESSION:
        return (tensor("values", targets),)
    if head.family is TaskFamily.FORECASTING:
        return (tensor("mean", head.outputs),)
    return (tensor("logits", head.outputs),)
