"""The form that all data sets share: prepared samples, targets and splits.

A loader reads one data set from disk, sends it through the modality's pre-processor
(the code that serves requests, with the parameters that the head will be served with)
and returns a :class:`TaskData`. Preparing is slow, so prepared arrays are kept in a
cache directory and memory-mapped from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array, Preprocessor, Sample, preprocessor_for, preprocessor_type
from omnivec2.spec import DataSource, Modality, PreprocessSpec, Target, TaskFamily

Augment = Callable[[Sample, Any, np.random.Generator], tuple[Sample, Any]]
T = TypeVar("T")


@dataclass(frozen=True)
class SummarizationTarget:
    """The target of a sample of summarization: the source text, and summaries by people."""

    source: str
    references: tuple[str, ...]


class TargetForm(StrEnum):
    """The form of a task's targets, where its family has more than one."""

    PLAIN = "plain"
    MULTI_LABEL = "multi-label"
    """Classification: any number of labels per sample, uint8 [labels] of zeros and ones."""
    ANOMALY = "anomaly"
    """Classification of series by how well they are rebuilt: uint8 [1], 1 where the sample is not
    normal. Training learns from normal samples alone."""
    MAP = "map"
    """Regression: a number per pixel, float32 [targets, h, w] in real units, NaN = ignored."""
    POINTS = "points"
    """Segmentation: :class:`PointLabels`."""
    IDENTITY = "identity"
    """Embedding: the int number of what the sample shows; equal ones belong together."""


@dataclass(frozen=True)
class PointLabels:
    """The target of a point cloud: the class of every point.

    Attributes:
        labels: The class of every point, uint8 [points], 255 = ignored.
        assignment: The group of every point, int32 [points], -1 = none, as the pre-processor's
            context has it.
    """

    labels: Array
    assignment: Array

    def counts(self, groups: int, classes: int) -> Array:
        """Return how many points of every class are in each group, float32 [groups, classes]."""
        counted = (self.assignment >= 0) & (self.labels < classes)
        cells = self.assignment[counted].astype(np.int64) * classes + self.labels[counted]
        counts = np.bincount(cells, minlength=groups * classes)
        return counts.reshape(groups, classes).astype(np.float32)


@dataclass(frozen=True)
class Split:
    """One part of a data set: samples and, in the same order, their targets.

    Attributes:
        samples: The named arrays of each sample; they may be prepared when they are looked up.
        targets: The targets by family: int label | float32 [targets] | ``{"boxes": float32 [n, 4]
            cx, cy, w, h in 0..1, "labels": int64 [n]}`` | uint8 mask [h, w] with 255 =
            ignore (int label where samples are pixels) | float32 [horizon] in real units |
            :class:`SummarizationTarget`, whose ids are the sample's ``target_ids``;
            :class:`TargetForm` has further forms.
        scales: The divisors of errors before a metric, float32 [n], in forecasting only: the
            standard deviation over the training part of the sample's series.
        references: The masks at the size of metrics, in segmentation of pictures only.
        queries: A mask of the samples that are looked for among the others, bool [n], in
            embedding only. Without it every sample is looked for among all others.
        groups: The source of each sample, such as a recording or a person, [n]; None if it is not
            known.
    """

    samples: Sequence[Sample]
    targets: Sequence[Any] | Array
    scales: Array | None = None
    references: Sequence[Array] | Array | None = None
    queries: Array | None = None
    groups: Array | None = None

    def __post_init__(self) -> None:
        """Refuse parts whose targets cannot belong to their samples."""
        if len(self.samples) != len(self.targets):
            raise ArtifactError(
                f"{len(self.samples)} samples cannot have {len(self.targets)} targets"
            )

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.samples)

    def take(self, indices: Array) -> Split:
        """Return the samples at ``indices``, still lazy."""
        return Split(
            Subset(self.samples, indices),
            Subset(self.targets, indices),
            None if self.scales is None else self.scales[indices],
            None if self.references is None else Subset(self.references, indices),
            None if self.queries is None else self.queries[indices],
            None if self.groups is None else self.groups[indices],
        )


@dataclass(frozen=True)
class TaskData:
    """Everything that training and evaluation need of one task.

    Attributes:
        route: The name of the head, ``<modality>/<task>``.
        family: The family of the task.
        preprocess: The pre-processing that makes the same arrays of a request.
        labels: The class names by index.
        targets: The regressed or forecast quantities.
        horizon: The number of forecast steps.
        splits: The parts ``train``, ``val`` and ``test``; the last is for final numbers only.
        metric: A name in :data:`omnivec2.training.evaluation.quality_metrics.METRICS`.
        test_name: The name of the test part in tables.
        sources: The data with its licences.
        further_metrics: More metrics that are measured.
        further_tests: More test parts that are measured, by name.
        form: The form of the targets.
        class_weights: The weight in the loss of each class, or of each label where it applies; all
            are the same if empty.
        quantiles: The levels of forecast quantiles in 0..1, ascending; none if empty.
        dimensions: The length of the vectors, in embedding only.
        loss: The name of a loss in :data:`omnivec2.training.losses.NAMED_LOSSES`, where the form of
            the targets has a choice; its default if empty.
        block: The recipe's block that the data was read by, as JSON; None for loaders in code.
        augment: The random variation of a training sample, or None.
        description: One or two sentences for people who call the head.
    """

    route: str
    family: TaskFamily
    preprocess: PreprocessSpec
    splits: Mapping[str, Split]
    metric: str
    test_name: str
    sources: tuple[DataSource, ...]
    labels: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    horizon: int | None = None
    augment: Augment | None = field(default=None, compare=False)
    description: str = ""
    further_metrics: tuple[str, ...] = ()
    further_tests: Mapping[str, Split] = field(default_factory=dict)
    form: TargetForm = TargetForm.PLAIN
    class_weights: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()
    dimensions: int = 0
    loss: str = ""
    block: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def modality(self) -> Modality:
        """The first part of the route."""
        return Modality(self.route.partition("/")[0])


PreparingProgress = Callable[[int, int | None], None]
"""Is told how many inputs have been prepared, and of how many; None where that is not known."""


def ignore_progress(done: int, total: int | None) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class DataDirectories:
    """The directories of data and of prepared arrays.

    Attributes:
        root: The directory of data.
        cache: The directory of prepared arrays.
        progress: The callback for arrays that are prepared.
    """

    root: Path
    cache: Path
    progress: PreparingProgress = ignore_progress

    def find(self, name: str) -> Path:
        """Return a file or folder of the data directory.

        Raises:
            ArtifactError: There is no such file or folder.
        """
        path = self.root / name
        if not path.exists():
            raise ArtifactError(
                f"{self.root} lacks {name}; give the directory that holds the data sets "
                "(docs/training.md names them and their sources)"
            )
        return path


Loader = Callable[[DataDirectories], TaskData]


class Subset(Sequence[T]):
    """Chosen items of a sequence, which are looked up on access."""

    def __init__(self, items: Sequence[T] | Array, indices: Array) -> None:
        self._items = items
        self._indices = np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Subset[T]: ...
    def __getitem__(self, index: int | slice) -> T | Subset[T]:
        if isinstance(index, slice):
            return Subset(self._items, self._indices[index])
        item: T = self._items[int(self._indices[index])]
        return item


class LazySequence(Sequence[T]):
    """Items made on access, for data that is small as files and large when prepared.

    Args:
        count: The number of items.
        make: The function that makes the item at an index.
    """

    def __init__(self, count: int, make: Callable[[int], T]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Subset[T]: ...
    def __getitem__(self, index: int | slice) -> T | Subset[T]:
        if isinstance(index, slice):
            return Subset(self, np.arange(self._count)[index])
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._make(index % self._count)


def preprocess_spec(modality: Modality, **parameters: Any) -> PreprocessSpec:
    """Return the spec of a modality's pre-processor at its present version."""
    version = preprocessor_type(modality).version
    return PreprocessSpec(name=modality, version=version, parameters=parameters)


def build(spec: PreprocessSpec) -> Preprocessor[Any, Any]:
    """Build the pre-processor of a spec, with its default limits."""
    return preprocessor_for(spec)


def hold_out(targets: Sequence[int] | Array, share: float, *, seed: int) -> tuple[Array, Array]:
    """Split indices into (kept, held out), class by class.

    Args:
        targets: The class of each item.
        share: The share of every class that is held out, in 0..1.
        seed: The seed of the choice, so that parts never change between runs.
    """
    classes = np.asarray(targets)
    generator = np.random.default_rng(seed)
    held: list[Array] = []
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        held.append(generator.permutation(members)[: round(share * len(members))])
    chosen = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(classes)), chosen), chosen
