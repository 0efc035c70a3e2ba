"""From data to structure: tokenizers, heads and head specs of the tasks of a recipe.

Sizes that depend on data (columns of a table, bands of a sensor, classes) are read off
the task data; constants that scale inputs are fitted on the training part and stored in
the network's buffers, so that they travel inside the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from omnivec2.network.config import (
    PRESETS,
    DepthTokenizerConfig,
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
from omnivec2.preprocess.text import TextParameters
from omnivec2.spec import HeadSpec, Modality, TaskFamily, TensorSpec
from omnivec2.training.data.base import TaskData
from omnivec2.training.structure.decoder_structure import decoder_config, generation_of, memory_spec

TABULAR_PIECES = 16
"""Pieces of every number's range."""

_SCENE_GRID = (12, 16)  # cells of the 192 x 256 pictures of detection and segmentation


def max_tokens(task: TaskData) -> int:
    """Most ids of a text of a task."""
    return TextParameters.model_validate(task.preprocess.parameters).max_tokens


def _visual(
    modality: Modality,
    grid: tuple[int, int, int],
    *,
    blocks: int = 8,
    tubelet: tuple[int, int, int] = (1, 1, 1),
) -> Callable[[TaskData], TokenizerConfig]:
    def config(task: TaskData) -> TokenizerConfig:
        """Position tables for ``grid``, or for the task's own pictures where they are larger."""
        (array,) = task.splits["train"].samples[0].values()
        frames = len(array) if modality is Modality.VIDEO else 1
        rows, columns = array.shape[:2] if modality is not Modality.VIDEO else array.shape[1:3]
        own = (frames, rows // STRIDE, columns // STRIDE)
        largest = tuple(
            max(cells, size // step) for cells, size, step in zip(grid, own, tubelet, strict=True)
        )
        return VisualTokenizerConfig.model_validate(
            {"modality": modality, "stem_blocks": blocks, "tubelet": tubelet, "grid": largest}
        )

    return config


def _tabular(task: TaskData) -> TokenizerConfig:
    columns = task.preprocess.parameters["columns"]
    assert isinstance(columns, list)
    categories = [c["categories"] for c in columns if c["kind"] == "category"]  # type: ignore[call-overload,index]
    return TabularTokenizerConfig(
        numbers=len(columns) - len(categories),
        cardinalities=tuple(2 + len(known) for known in categories),  # type: ignore[arg-type]
        pieces=TABULAR_PIECES,
    )


def _hyperspectral(task: TaskData) -> TokenizerConfig:
    sample = task.splits["train"].samples[0]["window"]
    return HyperspectralTokenizerConfig(bands=sample.shape[2], window=sample.shape[0])


def _imu(task: TaskData) -> TokenizerConfig:
    window, channels = task.splits["train"].samples[0]["signal"].shape
    return ImuTokenizerConfig(window=window, channels=channels)


def _depth(task: TaskData) -> TokenizerConfig:
    frames, height, width = task.splits["train"].samples[0]["depth"].shape
    return DepthTokenizerConfig(frames=frames, height=height, width=width)


def _timeseries(task: TaskData) -> TimeSeriesTokenizerConfig:
    return TimeSeriesTokenizerConfig(
        context_length=task.splits["train"].samples[0]["values"].shape[0]
    )


TOKENIZER_CONFIGS: dict[Modality, Callable[[TaskData], TokenizerConfig]] = {
    Modality.IMAGE: _visual(Modality.IMAGE, (1, *_SCENE_GRID), blocks=11),
    Modality.VIDEO: _visual(Modality.VIDEO, (4, 3, 4), tubelet=(2, 2, 2)),
    Modality.AUDIO: _visual(Modality.AUDIO, (1, 16, 4), tubelet=(1, 2, 2)),
    Modality.TEXT: lambda task: TextTokenizerConfig(positions=max_tokens(task)),
    Modality.DEPTH: _depth,
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


def network_config(
    preset: str, tasks: Sequence[TaskData], *, literal: bool = False
) -> NetworkConfig:
    """A preset with the tokenizers and heads of tasks, and an embedding per modality.

    A modality's embedding uses the tokenizer of the first of its tasks. ``literal`` gives
    the trunk the paper's wording (ReLU after all three fully connected layers).
    """
    tokenizers: dict[str, TokenizerConfig] = {}
    heads: dict[str, HeadConfig] = {}
    for task in tasks:
        name = tokenizer_name(task)
        config = TOKENIZER_CONFIGS[task.modality](task)
        there = tokenizers.setdefault(name, config)
        if isinstance(there, TextTokenizerConfig) and isinstance(config, TextTokenizerConfig):
            longest = max(there.positions, config.positions)
            tokenizers[name] = there.model_copy(update={"positions": longest})
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
        horizon=task.horizon,
        generation=generation_of(task.route, network.config.heads[task.route]),
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
    if head.decoder is not None:
        return (memory_spec(head.decoder),)
    return (tensor("logits", head.outputs),)
