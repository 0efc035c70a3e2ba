"""From data to structure: tokenizers, heads and head specs of the tasks of a recipe.

Sizes that depend on data (columns of a table, bands of a sensor, classes) are read off
the task data; constants that scale inputs are fitted on the training part and stored in
the network's buffers, so that they travel inside the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from omnivec2.errors import ArtifactError
from omnivec2.network.config import PRESETS, HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.series import TimeSeriesTokenizerConfig
from omnivec2.network.tokenizers.stem import STRIDE
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec, Modality, TaskFamily, TensorSpec
from omnivec2.training.data.base import TargetForm, TaskData
from omnivec2.training.modalities import modality_training
from omnivec2.training.structure.decoder_structure import decoder_config, generation_of, memory_spec

_CODE = 8
"""The numbers that a series is rebuilt from; anomalies show where these are too few for it."""

_PICTURE_FAMILIES = (TaskFamily.DETECTION, TaskFamily.SEGMENTATION)
"""The families whose answers of a picture have places in it."""


def tokenizer_name(task: TaskData) -> str:
    """Return the key of a task's tokenizer; tasks of one key share it."""
    return modality_training(task.modality).tokenizer_key(task)


def tokenizer_config(task: TaskData) -> AnyTokenizerConfig:
    """Return the sizes of a tokenizer for the samples of a task."""
    return modality_training(task.modality).tokenizer_config(task)


def head_config(task: TaskData) -> HeadConfig:
    """Return the head that a task's family and data ask for."""
    name = tokenizer_name(task)
    outputs = task.horizon or task.dimensions or len(task.labels) or len(task.targets)
    config = HeadConfig(
        family=task.family, tokenizer=name, outputs=outputs, quantiles=len(task.quantiles)
    )
    extra: dict[str, object] = {}
    if task.family is TaskFamily.FORECASTING:
        tokenizer = _series_tokenizer(task)
        extra = {"tokens": tokenizer.tokens, "context": tokenizer.context_length}
    if task.form is TargetForm.ANOMALY:
        extra = {"context": _series_tokenizer(task).context_length, "code": _CODE}
    if task.form is TargetForm.POINTS:
        extra = {"layout": "token", "tokens": len(task.splits["train"].samples[0]["centres"])}
    is_map = task.form is TargetForm.MAP or task.family in _PICTURE_FAMILIES
    pixels = task.splits["train"].samples[0].get("pixels") if is_map else None
    if pixels is not None:
        height, width = pixels.shape[:2]
        extra |= {"grid": (height // STRIDE, width // STRIDE), "layout": "token"}
    return config.model_copy(update=extra)


def _series_tokenizer(task: TaskData) -> TimeSeriesTokenizerConfig:
    tokenizer = tokenizer_config(task)
    if not isinstance(tokenizer, TimeSeriesTokenizerConfig):
        raise ArtifactError(
            f"{task.route}: forecasts and anomalies are answered for time series alone"
        )
    return tokenizer


def embedding_route(modality: Modality) -> str:
    """Return the route of a modality's embedding."""
    return f"{modality.value}/{TaskFamily.EMBEDDING.value}"


def network_config(
    preset: str, tasks: Sequence[TaskData], *, literal: bool = False
) -> NetworkConfig:
    """Return a preset with the tokenizers and heads of tasks, and an embedding per modality.

    A modality's embedding uses the tokenizer of the first of its tasks.

    Args:
        preset: The name of the preset.
        tasks: All tasks of the network.
        literal: Whether the trunk follows the paper's wording, with ReLU after all three fully
            connected layers.
    """
    tokenizers: dict[str, AnyTokenizerConfig] = {}
    heads: dict[str, HeadConfig] = {}
    for task in tasks:
        name = tokenizer_name(task)
        config = tokenizer_config(task)
        tokenizers[name] = tokenizers.get(name, config).combined_with(config)
        heads[task.route] = head_config(task)
        if task.family is TaskFamily.SUMMARIZATION:
            decoder = decoder_config(task, PRESETS[preset])
            heads[task.route] = heads[task.route].model_copy(update={"decoder": decoder})
        heads.setdefault(
            embedding_route(task.modality),
            HeadConfig(family=TaskFamily.EMBEDDING, tokenizer=name),
        )
    base = PRESETS[preset].model_dump()
    base["trunk"]["literal"] = literal
    return NetworkConfig.model_validate(base | {"tokenizers": tokenizers, "heads": heads})


def head_specs(
    network: OmniVec2,
    tasks: Sequence[TaskData],
    served: set[str],
    warm_starts: Mapping[str, str],
    thresholds: Mapping[str, tuple[float, ...]] | None = None,
) -> list[HeadSpec]:
    """Return the spec of every served head and of every modality's embedding.

    Args:
        network: The trained network.
        tasks: All tasks of the network.
        served: The routes of the heads that are served.
        warm_starts: The source of each part's first weights, by the part's name.
        thresholds: The thresholds of heads that give any number of labels, by route.
    """
    specs = []
    width = network.config.trunk.g.width
    first: dict[Modality, TaskData] = {}
    for task in tasks:
        first.setdefault(task.modality, task)
        if task.route in served:
            own = (thresholds or {}).get(task.route, ())
            spec = _head_spec(network, task, warm_starts)
            specs.append(spec.model_copy(update={"thresholds": own}))
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
                    "quantiles": (),
                    "horizon": None,
                    "generation": None,
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
        quantiles=task.quantiles,
        horizon=task.horizon,
        generation=generation_of(task.route, network.config.heads[task.route]),
        limits=preprocessor.limits,
        data=task.sources,
        data_block=None if task.block is None else dict(task.block),
        warm_starts=tuple(
            dict.fromkeys(w for part, w in warm_starts.items() if part.startswith(parts))
        ),
        network=network.config.preset,
    )


def _outputs(head: HeadConfig, targets: int) -> tuple[TensorSpec, ...]:
    """Return the outputs with the names and shapes that the head's output layer makes."""

    def tensor(name: str, *shape: int) -> TensorSpec:
        return TensorSpec(name=name, dtype="float32", shape=shape)

    if head.family is TaskFamily.DETECTION and head.grid:
        queries = head.grid[0] * head.grid[1]
        return tensor("logits", queries, head.outputs + 1), tensor("boxes", queries, 4)
    if head.family is TaskFamily.SEGMENTATION and head.grid:
        rows, columns = (side * head.upsample for side in head.grid)
        return (tensor("logits", head.outputs, rows, columns),)
    if head.family is TaskFamily.SEGMENTATION and head.layout == "token":
        return (tensor("logits", head.tokens, head.outputs),)
    if head.family is TaskFamily.REGRESSION and head.grid:
        return (tensor("values", targets, *(side * head.upsample for side in head.grid)),)
    if head.family is TaskFamily.REGRESSION:
        return (tensor("values", targets),)
    if head.family is TaskFamily.FORECASTING and head.quantiles:
        return tensor("mean", head.outputs), tensor("quantiles", head.quantiles, head.outputs)
    if head.family is TaskFamily.FORECASTING:
        return (tensor("mean", head.outputs),)
    if head.family is TaskFamily.EMBEDDING:
        return (tensor("embedding", head.outputs),)
    if head.decoder is not None:
        return (memory_spec(head.decoder),)
    return (tensor("logits", head.outputs),)
