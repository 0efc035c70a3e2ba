"""Fitting one head: summaries of its data by the frozen network, and layers chosen on ``val``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnivec2.errors import ArtifactError
from omnivec2.network.config import HeadConfig
from omnivec2.network.fc_head import FAMILIES
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import TaskFamily
from omnivec2.training.adaptation.answer_forms import AnswerForm
from omnivec2.training.adaptation.fitting.choice_words import describe_choice
from omnivec2.training.adaptation.fitting.fit_layers import FittedLayers, fit
from omnivec2.training.adaptation.fitting.frozen_summaries import summarise
from omnivec2.training.adaptation.fitting.labelled_summaries import LabelledSummaries
from omnivec2.training.adaptation.frozen_network import Base, build_network
from omnivec2.training.data.base import Split, TargetForm, TaskData
from omnivec2.training.frozen_heads.frozen_heads_recipe import FrozenHead
from omnivec2.training.structure.fitted_thresholds import thresholds_of

Start = Callable[[str, int], Callable[[int], None]]
"""A function from the title and the size of a step to a callback for what is done of it."""

_MOST_VALIDATED = 1500
"""The most samples of ``val`` that are looked at."""

_SEARCH_SECONDS = 1e6
"""Nominal time of two layers; a recipe names few combinations, all of which are tried."""

_FORMS = (TargetForm.PLAIN, TargetForm.MULTI_LABEL)


@dataclass(frozen=True)
class FrozenHeadFit:
    """A fitted head.

    Attributes:
        config: The head's place in the network.
        layers: The layers, with the choice that validation made.
        thresholds: The probability from which each tag is answered; none for other forms.
        samples: The number of samples that it was fitted to, those of ``val`` included.
    """

    config: HeadConfig
    layers: FittedLayers
    thresholds: tuple[float, ...]
    samples: int

    @property
    def chosen(self) -> str:
        """The choice in words."""
        return describe_choice(self.layers.choice)


def fit_frozen_head(
    base: Base, task: TaskData, head: FrozenHead, folder: Path, seed: int, start: Start
) -> FrozenHeadFit:
    """Fit the layers of a head to its parts ``train`` and ``val``; ``test`` is not looked at.

    Args:
        base: The frozen network, with the tokenizer of the head's modality.
        task: The labelled data.
        head: The entry of the recipe.
        folder: The folder where summaries are kept for the next time.
        seed: The seed of the choice of samples, of the start and the order.
        start: A function that starts the progress of a step.

    Raises:
        ArtifactError: Two layers cannot give the answers of the task, or the tokenizer cannot
            take its inputs.
    """
    _check(base, task)
    train = _some(task.splits["train"], head.most_samples, seed)
    val = _some(task.splits["val"], _MOST_VALIDATED, seed)
    config = HeadConfig(
        family=task.family, tokenizer=base.tokenizer, layers="fc", hidden=head.hidden,
        outputs=len(task.labels) or len(task.targets), summaries=head.summaries[0],
    )  # fmt: skip
    network = build_network(base, task.route, config, None)
    names = {name for summaries in head.summaries for name in summaries}
    samples: list[Sample] = [*train.samples, *val.samples]
    labels = np.concatenate([_labels(train, task), _labels(val, task)])
    data = LabelledSummaries(
        summarise(
            network, task.route, samples, folder,
            start(f"{task.route}: frozen network", len(samples)), names=names,
        ),
        np.arange(len(samples)),
        labels,
        len(task.labels),
        # Validated on val alone; the layers that are written are fitted to both.
        folds=np.repeat([-1, 0], [len(train), len(val)]),
    )  # fmt: skip
    advance = start(f"{task.route}: layers", len(head.summaries))
    layers = fit(
        data, family=task.family, metric=task.metric, hidden=head.hidden, seed=seed,
        candidates=head.summaries, seconds=_SEARCH_SECONDS, members=head.members,
        linear=head.linear, advance=lambda: advance(1),
    )  # fmt: skip
    thresholds: tuple[float, ...] = ()
    if data.form is AnswerForm.TAGS:
        known = np.isfinite(layers.predicted[:, 0])
        thresholds = thresholds_of(layers.predicted[known], labels[known] > 0)
    chosen = config.model_copy(
        update={
            "summaries": layers.choice.summaries,
            "hidden": layers.head.first.out_features,
        }
    )
    return FrozenHeadFit(chosen, layers, thresholds, len(samples))


def _check(base: Base, task: TaskData) -> None:
    """Raise unless two layers on the base's tokenizer can answer the task."""
    if task.family not in FAMILIES or task.family is TaskFamily.FORECASTING:
        raise ArtifactError(f"{task.route}: two layers cannot answer {task.family.value}")
    if task.form not in _FORMS:
        raise ArtifactError(f"{task.route}: two layers cannot answer targets of {task.form.value}")
    sample = task.splits["train"].samples[0]
    for tensor in base.head.inputs:
        array = sample.get(tensor.name)
        shape = () if array is None else array.shape
        if len(shape) != len(tensor.shape) or any(
            size not in (-1, own) for size, own in zip(tensor.shape, shape, strict=True)
        ):
            raise ArtifactError(
                f"{task.route}: the tokenizer of {base.head.route} takes {tensor.name} "
                f"{tensor.shape}, but the data's samples have {shape or 'none'}"
            )


def _some(part: Split, most: int, seed: int) -> Split:
    """Return a part, or so many of its samples, chosen at random."""
    if len(part) <= most:
        return part
    return part.take(np.sort(np.random.default_rng(seed).permutation(len(part))[:most]))


def _labels(part: Split, task: TaskData) -> Array:
    """Return the targets of a part as layers are fitted to them."""
    if task.form is TargetForm.MULTI_LABEL:
        return np.stack([np.asarray(target, dtype=np.uint8) for target in part.targets])
    if task.labels:
        return np.asarray(list(part.targets), dtype=np.int64)
    return np.stack([np.asarray(target, dtype=np.float32) for target in part.targets])
