"""From data to structure: tokenizers, heads and head specs of the tasks of a recipe.

Sizes that depend on data (columns of a table, bands of a sensor, classes) are read off
the task data; constants that scale inputs are fitted on the training part and stored in
the network's buffers, so that they travel inside the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from omnivec2.errors import ArtifactError
from omnivec2.network.config import HeadConfig, NetworkConfig
from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.series import TimeSeriesTokenizerConfig
from omnivec2.network.tokenizers.visual import VisualTokenizerConfig
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import HeadSpec, Modality, TaskFamily, TensorSpec
from omnivec2.training.data.base import TargetForm, TaskData
from omnivec2.training.modalities import modality_training
from omnivec2.training.structure.decoder_structure import decoder_config, generation_of, memory_spec
from omnivec2.training.structure.network_sizes import NetworkSizes

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


def head_config(task: TaskData, tokenizer: AnyTokenizerConfig | None = None) -> HeadConfig:
    """Return the head that a task's family and data ask for.

    Args:
        task: The task.
        tokenizer: The sizes of its tokenizer, if not those that its data asks for.

    Raises:
        ArtifactError: Its pictures do not divide into patches of the tokenizer, or it asks for
            an answer that its modality cannot have.
    """
    tokenizer = tokenizer or tokenizer_config(task)
    outputs = task.horizon or task.dimensions or len(task.labels) or len(task.targets)
    config = HeadConfig(
        family=task.family, tokenizer=tokenizer_name(task), outputs=outputs,
        quantiles=len(task.quantiles),
    )  # fmt: skip
    extra: dict[str, object] = {}
    if task.family is TaskFamily.FORECASTING:
        series = _series_tokenizer(task, tokenizer)
        extra = {"tokens": series.tokens, "context": series.context_length}
    if task.form is TargetForm.ANOMALY:
        series = _series_tokenizer(task, tokenizer)
        extra = {"context": series.context_length, "code": _CODE}
    if task.form is TargetForm.POINTS:
        extra = {"layout": "token", "tokens": len(task.splits["train"].samples[0]["centres"])}
    if isinstance(tokenizer, VisualTokenizerConfig):
        grid = _grid_of(task, tokenizer)
        if task.form is TargetForm.MAP or task.family in _PICTURE_FAMILIES:
            extra |= {"grid": grid[1:], "layout": "token"}
    return config.model_copy(update=extra)


def _series_tokenizer(task: TaskData, tokenizer: AnyTokenizerConfig) -> TimeSeriesTokenizerConfig:
    if not isinstance(tokenizer, TimeSeriesTokenizerConfig):
        raise ArtifactError(
            f"{task.route}: forecasts and anomalies are answered for time series alone"
        )
    return tokenizer


def _grid_of(task: TaskData, tokenizer: VisualTokenizerConfig) -> tuple[int, int, int]:
    """Return the frames, rows and columns of tokens that a tokenizer makes of a task's samples."""
    array = next(iter(task.splits["train"].samples[0].values()))
    shape = array.shape if tokenizer.modality is Modality.AUDIO else array.shape[:-1]
    frames = (*(1,) * (3 - len(shape)), *shape)
    if tokenizer.stem == "patches" and any(side % tokenizer.patch for side in frames[1:]):
        raise ArtifactError(
            f"{task.route}: {frames[1]} x {frames[2]} does not divide into patches of "
            f"{tokenizer.patch}; give its data another height and width, or another patch"
        )
    return tokenizer.grid_of(frames)


def embedding_route(modality: Modality) -> str:
    """Return the route of a modality's embedding."""
    return f"{modality.value}/{TaskFamily.EMBEDDING.value}"


def network_config(
    preset: str,
    tasks: Sequence[TaskData],
    *,
    literal: bool = False,
    plain_fusion: bool = False,
    sizes: NetworkSizes | None = None,
    backbone: TransformerConfig | None = None,
) -> NetworkConfig:
    """Return a preset with the tokenizers and heads of tasks, and an embedding per modality.

    A modality's embedding uses the tokenizer of the first of its tasks.

    Args:
        preset: The name of the preset.
        tasks: All tasks of the network.
        literal: Whether the trunk follows the paper's wording, with ReLU after all fully
            connected layers.
        plain_fusion: Whether cross-attention follows the paper's wording, without gates.
        sizes: The sizes that differ from the preset's.
        backbone: The sizes of the trunk's warm start, if ``sizes`` takes them.

    Raises:
        ArtifactError: The sizes do not fit together, or name a tokenizer that no task has.
    """
    sizes = sizes or NetworkSizes()
    try:
        base = sizes.config(preset, literal=literal, backbone=backbone)
    except ValueError as error:
        raise ArtifactError(f"network: {error}") from error
    post_norm = base.trunk.f.norm_order("post") == "post"
    tokenizers: dict[str, AnyTokenizerConfig] = {}
    heads: dict[str, HeadConfig] = {}
    for task in tasks:
        name = tokenizer_name(task)
        config = sizes.tokenizer(name, tokenizer_config(task), post_norm=post_norm)
        tokenizers[name] = tokenizers.get(name, config).combined_with(config)
        heads[task.route] = head_config(task, config)
        if task.family is TaskFamily.SUMMARIZATION:
            decoder = decoder_config(task, base)
            heads[task.route] = heads[task.route].model_copy(update={"decoder": decoder})
        heads.setdefault(
            embedding_route(task.modality),
            HeadConfig(family=TaskFamily.EMBEDDING, tokenizer=name),
        )
    if unknown := sizes.tokenizers.keys() - tokenizers.keys():
        raise ArtifactError(
            f"network.tokenizers.{min(unknown)}: no task has that tokenizer; "
            f"there are {', '.join(tokenizers)}"
        )
    content = base.model_dump() | {"tokenizers": tokenizers, "heads": heads}
    content["plain_fusion"] = plain_fusion
    return NetworkConfig.model_validate(content)


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
