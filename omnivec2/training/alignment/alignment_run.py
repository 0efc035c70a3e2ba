"""``omnivec2 align``: fit heads that embed recordings of the same things in one space."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from omnivec2.atomic_files import write_file
from omnivec2.preprocess import Array
from omnivec2.spec import Modality
from omnivec2.terminal import LoggedProgress
from omnivec2.training.alignment.aligned_checkpoint import write_aligned_checkpoint
from omnivec2.training.alignment.alignment_request import AlignmentResult, AlignRequest
from omnivec2.training.alignment.fit_projections import Heads, embed_recordings, fit_heads
from omnivec2.training.alignment.frozen_features import AlignedModality, FeatureExtractor
from omnivec2.training.alignment.retrieval_metrics import (
    RecallResult,
    ZeroShotFold,
    ZeroShotResult,
    measure_recall,
    measure_zero_shot,
)
from omnivec2.training.evaluation.evaluation_report import environment

_FOLDS = 3
"""The classes are left out in so many folds, to be classified by their names alone."""

_COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn())  # fmt: skip

_Members = Mapping[Modality, AlignedModality]


def align(request: AlignRequest, console: Console) -> AlignmentResult:
    """Fit a head for each modality and for the names, measure them, and write a checkpoint.

    Args:
        request: The data, paths and settings.
        console: The console for progress.

    Raises:
        ArtifactError: The base is incomplete, or lacks a modality.
    """
    with LoggedProgress(*_COLUMNS, console=console, transient=True) as progress:
        extractor = FeatureExtractor(request, progress)
        members = {
            modality: extractor.extract_recordings(modality, stream)
            for modality, stream in request.data.streams.items()
        }
        if request.data.names:
            members[Modality.TEXT] = extractor.extract_names()
        heads = _fit(request, members, progress, "fitting")
        recalls = _measure_recalls(members, heads)
        result = AlignmentResult(recalls, _measure_zero_shot(request, members, progress))
    write_aligned_checkpoint(request, members, heads, result)
    return result


def _fit(
    request: AlignRequest,
    members: _Members,
    progress: Progress,
    title: str,
    classes: Array | None = None,
) -> Heads:
    """Fit heads to the training recordings, of some classes or of all."""
    bar = progress.add_task(title, total=request.steps)
    features = {modality: member.train for modality, member in members.items()}
    if classes is not None:
        features = {m: summarised.keep_classes(classes) for m, summarised in features.items()}
    return fit_heads(
        features, {modality: member.head for modality, member in members.items()},
        steps=request.steps, seed=request.seed, advance=lambda: progress.advance(bar),
    )  # fmt: skip


def _measure_recalls(members: _Members, heads: Heads) -> list[RecallResult]:
    """Measure the recall of every direction between two modalities."""
    sets = [
        (modality.value, embed_recordings(heads[modality], member.test), member.test.labels)
        for modality, member in members.items()
    ]
    return [measure_recall(a, b) for a in sets for b in sets if a[0] != b[0]]


def _measure_zero_shot(
    request: AlignRequest, members: _Members, progress: Progress
) -> list[ZeroShotResult]:
    """Measure on classes that were left out of the fit; return nothing if they are too few."""
    count = len(request.data.names)
    if count < 2 * _FOLDS:
        return []
    classes = np.random.default_rng((request.seed, 7)).permutation(count)
    folds: dict[Modality, list[ZeroShotFold]] = {}
    for number in range(_FOLDS):
        left_out = np.sort(classes[number::_FOLDS])
        kept = np.setdiff1d(classes, left_out)
        title = f"without {len(left_out)} classes"
        heads = _fit(request, members, progress, title, kept)
        names = members[Modality.TEXT].test.keep_classes(left_out)
        name_vectors = embed_recordings(heads[Modality.TEXT], names)
        for modality in request.data.streams:
            test = members[modality].test.keep_classes(left_out)
            vectors = embed_recordings(heads[modality], test)
            fold = ZeroShotFold(vectors, test.labels, name_vectors, names.labels)
            folds.setdefault(modality, []).append(fold)
    return [measure_zero_shot(modality.value, tested) for modality, tested in folds.items()]


def write_json(result: AlignmentResult, path: Path) -> None:
    """Write the measurements with their date, hardware and versions."""
    content = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **environment(),
        "found": [row.model_dump() for row in result.recalls],
        "zero_shot": [row.model_dump() for row in result.zero_shot],
    }
    write_file(path, (json.dumps(content, indent=1) + "\n").encode())
