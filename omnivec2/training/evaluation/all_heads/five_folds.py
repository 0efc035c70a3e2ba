"""Heads refitted on frozen features in five folds, where a test part is too small to judge by.

Every sample of the data set is then answered by a head that was not fitted to it, and samples of
one source are never on both sides. The tokenizer and the trunk stay as they ship: they were trained
with the labels of the training part, so that figures are somewhat better than on new data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from omnivec2.network.config import HeadConfig, Summary
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2.training.adaptation.fitting.fit_layers import answers_of, fit
from omnivec2.training.adaptation.fitting.frozen_summaries import joined, summarise
from omnivec2.training.adaptation.fitting.kept_summaries import Summaries
from omnivec2.training.adaptation.fitting.labelled_summaries import LabelledSummaries
from omnivec2.training.adaptation.frozen_network import build_network, load_base
from omnivec2.training.data.base import Split, TargetForm, TaskData
from omnivec2.training.evaluation.all_heads.head_tests import Advance, MeasuredFigure
from omnivec2.training.evaluation.metrics.head_result import HeadResult
from omnivec2.training.evaluation.predictions import Answers
from omnivec2.training.evaluation.quality_metrics import METRICS
from omnivec2.training.evaluation.resampling.sample_statistics import figure_of
from omnivec2.training.evaluation.simple_models import LINEAR, linear_answers
from omnivec2.training.modalities import modality_training

FEW_SAMPLES = 200
"""The samples of a test part below which all folds are measured."""

NOTE = "five-fold, head refitted on frozen features"

_FOLDS = 5
_HIDDEN = 256
_SECONDS = 5.0
"""The nominal time of the search for two layers, of every fold."""
_SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Pool:
    """All samples of a data set.

    Attributes:
        data: The samples with their targets.
        folds: The fold that each is answered in, int [n].
        grouped: Whether samples of one source share a fold, and the sources are known.
    """

    data: Split
    folds: Array
    grouped: bool

    def parts(self) -> Iterator[tuple[Array, Array]]:
        """Yield for every fold the samples that are fitted to, and those that are answered."""
        for fold in np.unique(self.folds):
            yield np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)


def can_fold(task: TaskData) -> bool:
    """Whether a test part is too small, and a head for the task can be refitted in seconds."""
    test = task.splits.get("test")
    return (
        test is not None
        and len(test) < FEW_SAMPLES
        and task.form is TargetForm.PLAIN
        and task.family in (TaskFamily.CLASSIFICATION, TaskFamily.REGRESSION)
        and "train" in task.splits
    )


def pool_of(task: TaskData) -> Pool:
    """Return all samples of a task in five folds; equal inputs share a fold in any case."""
    splits = list(task.splits.values())
    samples: list[Sample] = [sample for split in splits for sample in split.samples]
    known = all(split.groups is not None for split in splits)
    if known:
        names = [str(name) for split in splits for name in np.asarray(split.groups)]
    else:
        names = [_digest(sample) for sample in samples]
    groups = np.unique(names, return_inverse=True)[1]
    targets: Array = np.concatenate([np.asarray(split.targets[:]) for split in splits])
    is_class = task.family is TaskFamily.CLASSIFICATION
    kind = StratifiedGroupKFold if is_class else GroupKFold
    folds = np.zeros(len(samples), dtype=np.int64)
    divided = kind(_FOLDS, shuffle=True, random_state=0).split(
        np.zeros(len(samples)), targets if is_class else None, groups
    )
    for number, (_, held) in enumerate(divided):
        folds[held] = number
    return Pool(Split(samples, targets), folds, known)


def measure_folds(
    checkpoint: Path, spec: HeadSpec, task: TaskData, kept: Path, advance: Advance
) -> MeasuredFigure:
    """Refit a head in five folds and measure the answers to all samples.

    Args:
        checkpoint: The checkpoint with the trunk and the head's tokenizer.
        spec: The spec of the head.
        task: The head's data.
        kept: The folder of summaries, which are computed once.
        advance: A callback with the number of samples summarised since the last.
    """
    pool = pool_of(task)
    names, summaries = _summaries(checkpoint, spec, pool.data.samples, kept, advance)
    targets = _labels(task, pool.data)
    classes = len(task.labels) if task.family is TaskFamily.CLASSIFICATION else 0
    outputs = classes or targets.shape[1]
    found, linear = np.zeros((2, len(targets), outputs))
    for fitted, held in pool.parts():
        data = LabelledSummaries(
            {name: summaries[name][fitted] for name in summaries},
            np.arange(len(fitted)), targets[fitted], classes,
        )  # fmt: skip
        layers = fit(
            data, family=task.family, metric=task.metric, hidden=_HIDDEN, seed=0,
            candidates=names, seconds=_SECONDS,
        )  # fmt: skip
        chosen = {name: summaries[name][held] for name in layers.choice.summaries}
        inputs = torch.from_numpy(joined(chosen, layers.choice.summaries))
        with torch.inference_mode():
            found[held] = answers_of(layers.head, inputs, np.arange(len(held)))[1]
        linear[held] = linear_answers(_fold_task(task, pool.data, fitted, held))
    return _result(spec, task, pool, found, linear)


def _result(
    spec: HeadSpec, task: TaskData, pool: Pool, found: Array, linear: Array
) -> MeasuredFigure:
    wanted = list(pool.data.targets)

    def answers(values: Array) -> Answers:
        if task.family is TaskFamily.CLASSIFICATION:
            values = np.log(np.maximum(values, _SMALLEST_PROBABILITY))
        return Answers(list(values), wanted)

    figure = figure_of(answers(found), task.metric)
    source = "sources apart" if pool.grouped else "equal inputs together"
    result = HeadResult(
        route=spec.route,
        dataset=f"{', '.join(s.name for s in task.sources)}, five folds ({source})",
        split="five-fold",
        samples=len(wanted),
        metric=task.metric,
        value=figure.value,
        baselines={LINEAR: answers(linear).measure(task.metric)},
        higher_is_better=METRICS[task.metric].higher_is_better,
    )
    return MeasuredFigure(result, figure)


def _summaries(
    checkpoint: Path, spec: HeadSpec, samples: Sequence[Sample], kept: Path, advance: Advance
) -> tuple[list[tuple[Summary, ...]], Summaries]:
    """Return the combinations that a head is chosen from, and all summaries of all samples."""
    base = load_base(checkpoint, spec.modality)
    tokenizer = base.config.heads[spec.route].tokenizer
    rules = modality_training(spec.modality).adaptation
    candidates = rules.candidates(base.config.tokenizers[tokenizer].own_widths)
    head = HeadConfig(
        family=spec.family, tokenizer=tokenizer, outputs=1, layers="fc", hidden=_HIDDEN,
        summaries=candidates[0],
    )  # fmt: skip
    network = build_network(base, spec.route, head, None)
    names = {name for candidate in candidates for name in candidate}
    return candidates, summarise(network, spec.route, samples, kept, advance, names=names)


def _labels(task: TaskData, data: Split) -> Array:
    """Return targets as layers are fitted to them: int64 [n], or float32 [n, targets]."""
    targets = np.asarray(data.targets[:])
    if task.family is TaskFamily.CLASSIFICATION:
        return targets.astype(np.int64)
    return targets.astype(np.float32).reshape(len(targets), -1)


def _fold_task(task: TaskData, data: Split, fitted: Array, held: Array) -> TaskData:
    """Return the task with one fold as its test part, and a tenth of the others as ``val``."""
    order = np.random.default_rng(0).permutation(fitted)
    cut = max(1, len(order) // 10)
    rows = {"train": order[cut:], "val": order[:cut], "test": held}
    return replace(task, splits={part: data.take(np.sort(own)) for part, own in rows.items()})


def _digest(sample: Sample) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(sample.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
