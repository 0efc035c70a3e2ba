"""The measurement of an embedding on all unseen sets of its modality."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from omnivec2.errors import ArtifactError
from omnivec2.network.layers import masked_mean
from omnivec2.network.saved_network import load_network
from omnivec2.preprocess import Array, Sample, collate, preprocessor_for
from omnivec2.spec import HeadSpec, Modality
from omnivec2.training.batches import as_tensors
from omnivec2.training.data.base import DataDirectories
from omnivec2.training.distillation.teachers import TEACHERS
from omnivec2.training.evaluation.all_heads.head_tests import MeasuredFigure
from omnivec2.training.evaluation.metrics.head_result import HeadResult
from omnivec2.training.evaluation.unseen.unseen_molecules import barrier, hydration
from omnivec2.training.evaluation.unseen.unseen_motion import (
    acts,
    basic_motions,
    gestures,
    racket_sports,
)
from omnivec2.training.evaluation.unseen.unseen_pictures import clothes, digits, things
from omnivec2.training.evaluation.unseen.unseen_sensors import (
    chests,
    jasper,
    modules,
    series_set,
)
from omnivec2.training.evaluation.unseen.unseen_set import UNSEEN_SPLIT, UnseenSet
from omnivec2.training.evaluation.unseen.unseen_sounds import other_sounds
from omnivec2.training.evaluation.unseen.unseen_texts import qnli, sick, stsb
from omnivec2.training.modalities import modality_training

UNSEEN: dict[Modality, tuple[Callable[[DataDirectories], UnseenSet], ...]] = {
    Modality.TEXT: (sick, stsb, qnli),
    Modality.IMAGE: (digits, clothes, things),
    Modality.AUDIO: (other_sounds,),
    Modality.VIDEO: (acts,),
    Modality.IMU: (gestures, basic_motions, racket_sports),
    Modality.GRAPH: (barrier, hydration),
    Modality.XRAY: (chests,),
    Modality.INFRARED: (modules,),
    Modality.HYPERSPECTRAL: (jasper,),
    Modality.TIMESERIES: tuple(map(series_set, ("FaceAll", "SwedishLeaf", "SyntheticControl"))),
}
"""The sets of a modality."""

MEAN_FEATURE, MEAN_TOKEN = "the trunk's mean feature", "mean token"
RAW_ARRAYS = "raw arrays"

Embed = Callable[[Sequence[Sample]], Mapping[str, Array]]
"""A function from prepared samples to vectors [samples, width], of one kind or several."""

_HEAD = "the head"
_BATCH = 32


def measure_unseen(
    spec: HeadSpec,
    head: Callable[[Sequence[Sample]], Array],
    others: Callable[[], Sequence[Embed]],
    at: DataDirectories,
    skipped: Callable[[str], None],
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[MeasuredFigure]:
    """Yield a figure for each unseen set of a head's modality.

    Args:
        spec: The spec of an embedding.
        head: A function from prepared samples to the head's vectors [samples, width].
        others: A function that makes other vectors, which are scored on the same inputs; it is
            called if there is a set at all.
        at: The data directories.
        skipped: A callback with the reason why a set is not measured: its files are not there.
        advance: A callback with the number of inputs embedded since the last.
    """
    preprocessor, made = preprocessor_for(spec.preprocess), cache(others)
    for load in UNSEEN.get(spec.modality, ()):
        try:
            unseen = load(at)
        except ArtifactError as error:
            skipped(f"{spec.route}: {error}")
            continue
        samples = [preprocessor.prepare(native).samples[0] for native in unseen.inputs]
        embed = (lambda some: {_HEAD: head(some)}, *made())
        figures = {
            name: unseen.figure(vectors)
            for name, vectors in _in_batches(embed, samples, advance).items()
        }
        own = figures.pop(_HEAD)
        result = HeadResult(
            route=spec.route,
            dataset=unseen.name,
            split=UNSEEN_SPLIT,
            samples=unseen.samples,
            metric=unseen.metric,
            value=own.value,
            higher_is_better=unseen.higher_is_better,
            baselines={name: figure.value for name, figure in figures.items()},
        )
        yield MeasuredFigure(result, own)


def other_vectors(checkpoint: Path, spec: HeadSpec) -> list[Embed]:
    """Return what an embedding is compared with: its teacher, and plain means of its network.

    The teacher is the network that the trunk started from, as it was.
    """
    network = load_network(checkpoint)
    has_weights = network.config.heads[spec.route].has_weights

    def means(samples: Sequence[Sample]) -> dict[str, Array]:
        tokens = network.tokenize(spec.route, as_tensors(collate(samples)))
        found = {MEAN_TOKEN: masked_mean(tokens.x_BND, tokens.mask_BN).numpy()}
        if has_weights:  # otherwise the mean feature is the head itself
            features = network.trunk(tokens)
            found[MEAN_FEATURE] = masked_mean(features.x_BND, features.mask_BN).numpy()
        return found

    if spec.modality not in TEACHERS:
        return [partial(_raw_arrays, spec.modality), means]
    teacher = TEACHERS[spec.modality]().requires_grad_(False).eval()

    def taught(samples: Sequence[Sample]) -> dict[str, Array]:
        vectors = teacher(as_tensors(collate(samples))).numpy()
        return {teacher.source.partition(" (")[0]: vectors}

    return [taught, means]


def _raw_arrays(modality: Modality, samples: Sequence[Sample]) -> dict[str, Array]:
    return {RAW_ARRAYS: np.asarray(modality_training(modality).plain_features(samples))}


@torch.inference_mode()
def _in_batches(
    embed: Sequence[Embed], samples: Sequence[Sample], advance: Callable[[int], None]
) -> dict[str, Array]:
    """Return all vectors in the order of samples; those of similar length share a batch."""
    order = sorted(range(len(samples)), key=lambda i: max(map(len, samples[i].values())))
    batches: dict[str, list[Array]] = {}
    for start in range(0, len(order), _BATCH):
        batch = [samples[row] for row in order[start : start + _BATCH]]
        for one in embed:
            for name, vectors in one(batch).items():
                batches.setdefault(name, []).append(vectors)
        advance(len(batch))
    places = np.argsort(order)
    return {name: np.concatenate(some)[places] for name, some in batches.items()}
