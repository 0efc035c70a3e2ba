"""Write the gate files of exported heads into their checkpoint, and have their passports vouch.

A head's gate file serves both layouts: it lies beside the head's spec, and the passport of the
head in one piece and that of the head in parts name it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from export.exported_checkpoint import ensemble_path
from export.gate.gate_samples import candidate_samples
from export.graphs.decoder_step import decoder_part
from export.graphs.traceable import traceable_head
from export.passport_writer import write_passport
from omnivec2.accuracy_gate import TOLERANCES, Gate, measure, write_gate
from omnivec2.accuracy_gate.gate_answers import decoder_steps
from omnivec2.arrays import Array
from omnivec2.checkpoint import Checkpoint
from omnivec2.digests import file_digest
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.passport import GATE_FILE, PASSPORT_FILE, Passport, load_passport
from omnivec2.postprocess.numeric import sigmoid
from omnivec2.preprocess import Sample, collate
from omnivec2.spec import HeadSpec, TaskFamily

_MOST_ROWS, _FEW_ROWS, _FEWEST_ROWS = 16, 4, 2
_BYTES = 20 * 2**10
"""The size of a head's inputs, compressed: of pictures there are fewer than of texts."""
_CANDIDATES = 6
"""Candidates for each row of a classifier's gate file."""
_DECODER_STEPS = 3
_SMALLEST_TOLERANCE = 0.02
_TRIVIAL = "majority"
"""The simple model whose error is the spread of the quantities, among a metric's baselines."""


def write_gates(
    checkpoint: Checkpoint, network: OmniVec2, heads: Sequence[HeadSpec], folder: Path
) -> None:
    """Write the gate files of exported heads and name them in their passports.

    Args:
        checkpoint: The checkpoint; heads that are not exported into it are left out.
        network: Its network, in eval mode.
        heads: The specs of the heads.
        folder: A folder with a folder of files per modality, for the inputs.
    """
    for head in heads:
        if passports := _passports(checkpoint, head):
            path = checkpoint.model_directory(head) / GATE_FILE
            write_gate(path, make_gate(network, head, folder))
            digest = file_digest(path)
            for target, passport in passports.items():
                files = {**passport.files, GATE_FILE: digest}
                write_passport(passport.model_copy(update={"files": files}), target)


def lacks_gate(checkpoint: Checkpoint, head: HeadSpec) -> bool:
    """Whether a head is exported without a gate file, as an interrupted export leaves it."""
    passports = _passports(checkpoint, head).values()
    return any(GATE_FILE not in passport.files for passport in passports)


def make_gate(network: OmniVec2, head: HeadSpec, folder: Path) -> Gate:
    """Choose a head's inputs and let the network answer them.

    Of a classifier's candidates half the rows are those that the network is least sure of:
    there the error of an engine shows first, while answers that are sure hide it.

    Args:
        network: The network in eval mode.
        head: The spec of the head.
        folder: A folder with a folder of files per modality.
    """
    logits = head.family in (TaskFamily.CLASSIFICATION, TaskFamily.SEGMENTATION)
    most = min(_FEW_ROWS if _is_large(head) else _MOST_ROWS, head.max_batch_size)
    candidates = candidate_samples(head, folder, most * (_CANDIDATES if logits else 1))
    rows = _row_count(candidates[:most])
    candidates = candidates[: rows * (_CANDIDATES if logits else 1)]
    reference = traceable_head(network, head)
    answers = reference.answer(collate(candidates))
    chosen = _least_sure(head, answers["logits"], rows) if logits else list(range(rows))
    inputs = collate([candidates[row] for row in chosen])
    outputs: Mapping[str, Array] = reference.answer(inputs)
    words = None
    if head.generation is not None:
        decode = decoder_part(network, head).traceable.answer
        outputs, words = decoder_steps(head, inputs, outputs, decode, steps=_DECODER_STEPS)
    # Half a float would blur maps of numbers, which may lie far from zero.
    if _is_large(head) and head.family is not TaskFamily.REGRESSION:
        outputs = {name: array.astype(np.float16) for name, array in outputs.items()}
    scales = _scales(head, inputs)
    return Gate(inputs, outputs, _tolerance(head, outputs, scales), scales, words)


def _is_large(head: HeadSpec) -> bool:
    """Whether answers are maps or the probabilities of words: half a float is exact enough."""
    return head.generation is not None or any(len(t.shape) > 1 for t in head.outputs)


def _row_count(samples: Sequence[Sample]) -> int:
    """Return the number of these samples that a file has room for."""
    data = b"".join(array.tobytes() for sample in samples for array in sample.values())
    size = max(len(zlib.compress(data)) // len(samples), 1)
    return min(len(samples), max(_FEWEST_ROWS, _BYTES // size))


def _least_sure(head: HeadSpec, logits: Array, count: int) -> list[int]:
    """Return the rows with the smallest lead of the best class, and as many others.

    Of a head with thresholds they are those with a label that is nearest to its own.

    Args:
        head: The spec of the head.
        logits: The answers (rows, classes), of maps (rows, classes, h, w), of points (rows,
            points, classes).
        count: The number of rows to return.
    """
    if head.is_multi_label:
        lead = np.abs(sigmoid(logits) - np.array(head.thresholds)).min(axis=1)
    else:
        top = np.sort(logits, axis=-1 if logits.ndim == 3 else 1)
        classes = np.moveaxis(top, -1 if logits.ndim == 3 else 1, 0)
        lead = (classes[-1] - classes[-2]).reshape(len(logits), -1).mean(axis=1)
    order = np.argsort(lead, kind="stable").tolist()
    unsure, others = order[: (count + 1) // 2], sorted(order[(count + 1) // 2 :])
    places = np.linspace(0, len(others) - 1, count - len(unsure)).round().astype(int)
    return sorted([*unsure, *(others[place] for place in places.tolist())])


def _tolerance(head: HeadSpec, outputs: Mapping[str, Array], scales: Array | None) -> float:
    """Return the tolerance of the head's family, or less where its answers are much alike.

    An engine must be nearer to the answer than half the way to that of another input.
    """
    others = {name: np.roll(array, 1, axis=0) for name, array in outputs.items()}
    apart = measure(head, outputs, others, scales)
    return max(min(TOLERANCES[head.family], apart / 2), _SMALLEST_TOLERANCE)


def _scales(head: HeadSpec, inputs: Mapping[str, Array]) -> Array | None:
    """Return what differences of a head's values are divided by; None for those without a unit.

    For a series it is the spread of its own past. For quantities it is the error of the simple
    model that always names their mean, if that was measured, else the gate measures the spread
    of the reference answers.
    """
    if head.family is TaskFamily.FORECASTING:
        (values,) = inputs.values()
        return np.asarray(np.maximum(values.std(axis=1, keepdims=True), 1e-6), np.float64)
    if head.family is TaskFamily.REGRESSION:
        for metric in head.metrics:
            if metric.name == "rmse" and metric.baselines.get(_TRIVIAL, 0) > 0:
                return np.array([metric.baselines[_TRIVIAL]])
    return None


def _passports(checkpoint: Checkpoint, head: HeadSpec) -> dict[Path, Passport]:
    """Return the passports of a head that are of these weights, in one piece and in parts."""
    paths = (
        checkpoint.model_directory(head) / PASSPORT_FILE,
        ensemble_path(checkpoint, head),
    )
    passports = {path: load_passport(path) for path in paths if path.exists()}
    return {
        path: passport
        for path, passport in passports.items()
        if passport.checkpoint_digest == checkpoint.digest
    }
