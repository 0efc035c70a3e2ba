"""The data contract between network, exporter and gateway.

A *head spec* says everything a gateway must know about one modality-task: which
tensors go in and come out, how bytes become those tensors, what the outputs mean,
and what the head was trained and measured on. It travels inside the model
repository, so nothing downstream names a task in code.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Modality(StrEnum):
    """The thirteen modalities of the paper, spelled as they appear in URLs."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    DEPTH = "depth"
    POINTCLOUD = "pointcloud"
    TIMESERIES = "timeseries"
    TABULAR = "tabular"
    GRAPH = "graph"
    XRAY = "xray"
    INFRARED = "infrared"
    IMU = "imu"
    HYPERSPECTRAL = "hyperspectral"


class TaskFamily(StrEnum):
    """The kind of a head's answers, which decides on output layer and post-processing."""

    CLASSIFICATION = "classification"
    DETECTION = "detection"
    SEGMENTATION = "segmentation"
    REGRESSION = "regression"
    FORECASTING = "forecasting"
    SUMMARIZATION = "summarization"
    EMBEDDING = "embedding"


DType = Literal["bool", "uint8", "int8", "int16", "uint16", "int32", "int64", "float16", "float32"]
TaskName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Frozen):
    """One named tensor. ``shape`` leaves out the batch axis; -1 is a dynamic axis."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    description: str = ""


class PreprocessSpec(_Frozen):
    """The pre-processor of the inputs: its name, version and frozen parameters."""

    name: Modality
    version: int
    parameters: dict[str, JsonValue] = {}


class Target(_Frozen):
    """A regressed or forecast quantity and the unit its values are in."""

    name: str
    unit: str = ""


class Limits(_Frozen):
    """Ceilings on one input, checked against declared sizes before memory is spent.

    ``None`` means that the quantity does not exist for the modality.
    """

    bytes: int = Field(default=16 * 2**20, description="encoded bytes of one input")
    decoded_bytes: int = Field(default=256 * 2**20, description="bytes after decompression")
    pixels: int | None = Field(default=None, description="width x height of one image or frame")
    seconds: float | None = Field(default=None, description="duration of audio or video")
    frames: int | None = Field(default=None, description="frames of a video or depth sequence")
    characters: int | None = Field(default=None, description="characters of a text")
    tokens: int | None = Field(default=None, description="tokens kept of a text; longer is cut")
    points: int | None = Field(default=None, description="points of a point cloud")
    nodes: int | None = Field(default=None, description="nodes (atoms) of a graph")
    edges: int | None = Field(default=None, description="edges (bonds) of a graph")
    rows: int | None = Field(default=None, description="rows of a table or series")
    columns: int | None = Field(default=None, description="columns of a table or series")
    bands: int | None = Field(default=None, description="spectral bands of a cube")
    inputs: int = Field(default=64, description="inputs in one request")


class Metric(_Frozen):
    """A measured figure on a named test set, and those of simple models on the same arrays."""

    name: str = Field(description="for example accuracy, auc, rmse, mse, miou, ap50")
    dataset: str
    split: str
    samples: int
    value: float
    higher_is_better: bool = True
    baselines: dict[str, float] = Field(default={}, description="baseline name -> its value")

    @property
    def gain(self) -> float | None:
        """The gain over the best of the simple models, negative if worse; None without any."""
        sign = 1.0 if self.higher_is_better else -1.0
        return min((sign * (self.value - other) for other in self.baselines.values()), default=None)


class DataSource(_Frozen):
    """Data a head was trained on, with the licence stated at its source."""

    name: str
    licence: str
    source: str = ""


class Generation(_Frozen):
    """The decoder of a head that writes text, and how the caller runs its steps.

    The decoder is a model beside the head's, without a route of its own. Its tensors have the
    names of ``omnivec2.generation``, which is the loop around it; any other input of it is
    an input or an output of the head, by name.
    """

    decoder: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="name of its model")
    version: str = Field(default="1", description="version of its files in the repository")
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    source: str = Field(description="input of the head with the ids that can be copied")
    vocabulary: str = Field(
        description="base64 of a bit per id of the text tokenizer, the first bit of a byte being "
        "its highest: the decoder's words are the ids whose bit is 1, in ascending order"
    )
    start_id: int = Field(description="id before the first word")
    end_id: int = Field(description="id after the last word")
    unknown_id: int = Field(description="id that stands for copied words it has none for")
    first_word_id: int = Field(description="ids below it are special: only the end is written")
    max_new_tokens: int = Field(gt=0, description="most ids of one answer")
    max_beams: int = Field(default=8, gt=0, description="most beams of one search")
    num_beams: int = Field(default=1, gt=0, description="beams unless asked otherwise")
    length_penalty: float = Field(
        default=1.0, description="power of the length that a beam's score is divided by"
    )
    no_repeat_ngram_size: int = Field(
        default=3, ge=0, description="no run of so many ids comes twice; 0 allows all"
    )


def model_name(route: str) -> str:
    """Return the name of a head's model in a repository: ``image_defects`` of ``image/defects``."""
    return route.replace("/", "_")


class HeadSpec(_Frozen):
    """Everything a gateway needs to serve one modality-task."""

    schema_version: Literal[1] = 1
    modality: Modality
    task: TaskName
    family: TaskFamily
    description: str = ""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocess: PreprocessSpec
    labels: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    thresholds: tuple[float, ...] = Field(
        default=(),
        description="for a head that gives any number of labels: the least probability of each, in "
        "the order of the labels, fitted on validation data",
        exclude_if=lambda value: not value,
    )
    temperature: float = Field(
        default=1.0,
        gt=0,
        description="for a classification head: the number that logits are divided by before "
        "probabilities, so that these are as often right as they say; fitted on validation data",
        exclude_if=lambda value: value == 1.0,
    )
    experimental: bool = Field(
        default=False,
        description="whether its figure is within noise of simple models, or worse",
        exclude_if=lambda value: not value,
    )
    quantiles: tuple[float, ...] = ()
    horizon: int | None = Field(default=None, description="forecast steps of one answer")
    generation: Generation | None = Field(
        default=None,
        description="how its text is written, if it writes one",
        exclude_if=lambda value: value is None,
    )
    limits: Limits = Limits()
    max_batch_size: int = 32
    metrics: tuple[Metric, ...] = ()
    data: tuple[DataSource, ...] = ()
    warm_starts: tuple[str, ...] = Field(default=(), description="pretrained parts it started from")
    data_block: dict[str, JsonValue] | None = Field(
        default=None,
        description="the recipe's block that it was trained on, by which it is measured; kept in "
        "checkpoints and left out of what is served",
        exclude_if=lambda value: value is None,
    )
    network: str = Field(description="preset the network was built from, e.g. reference")
    checkpoint_digest: str = Field(default="", description="sha256 of the checkpoint's weights")

    @property
    def name(self) -> str:
        """``<modality>_<task>``: the model's directory in a Triton model repository."""
        return model_name(self.route)

    @property
    def is_embedding(self) -> bool:
        """Whether the head answers with an embedding."""
        return self.family is TaskFamily.EMBEDDING

    @property
    def is_multi_label(self) -> bool:
        """Whether an input has any number of labels, each with a probability of its own."""
        return bool(self.thresholds)

    @property
    def route(self) -> str:
        """``<modality>/<task>``: the path after ``/predict/`` and the name people use."""
        return f"{self.modality.value}/{self.task}"
