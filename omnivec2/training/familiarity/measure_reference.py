"""``omnivec2 familiarity``: the training references of a checkpoint's heads.

Training rows and held-out rows, never those of a test part, go through the exported parts; what the
trunk says of them is written beside the head (``omnivec2.familiarity``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnivec2.arrays import Array
from omnivec2.atomic_files import write_file
from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import ArtifactError
from omnivec2.familiarity import REFERENCE_FILE, Familiarity, TrainingReference
from omnivec2.familiarity.fit_reference import fit_reference
from omnivec2.postprocess.numeric import sigmoid, softmax
from omnivec2.spec import HeadSpec
from omnivec2.training.data import DEFAULT_CACHE, load_task
from omnivec2.training.data.base import Split, TaskData
from omnivec2.training.evaluation.all_heads.head_tests import evenly_spaced
from omnivec2.training.evaluation.evaluate_heads import read_heads
from omnivec2.training.familiarity.drawn_nonsense import draw_nonsense
from omnivec2.training.familiarity.part_sessions import PartSessions

SUMMARIES = ("f_input_mean", "f_mean")
"""The trunk's outputs that a reference is about."""
MOST_ROWS = 400
"""The most training rows that a reference is fitted to, unless told otherwise."""

HELD_OUT_SHARE = 0.75
"""The held-out rows that are taken for every training row, at most."""

_LOGITS = "logits"
_FEWEST_ROWS = 20

Advance = Callable[[int], None]
LoadTask = Callable[[HeadSpec], TaskData]


@dataclass(frozen=True)
class MeasuredReference:
    """The reference of a head, and how many rows of a split it finds far.

    Attributes:
        head: The head.
        reference: Its reference.
        rows: The number of rows of the split that were counted.
        far: The share of them that are far.
    """

    head: HeadSpec
    reference: TrainingReference
    rows: int = 0
    far: float = 0.0


class ReferenceMeasurement:
    """Measures the references of a checkpoint's heads.

    Args:
        checkpoint: The checkpoint, exported in the shared layout.
        repository: The model repository that was assembled from it in that layout.
        data_root: The directory of the data sets.
        cache: The directory of prepared arrays.
        load: The loader of a head's data; by default its own data set.
        most_rows: The maximum number of training rows, of which three quarters as many are held
            out or counted.
    """

    def __init__(
        self,
        checkpoint: Path,
        repository: Path,
        data_root: Path,
        cache: Path = DEFAULT_CACHE,
        load: LoadTask | None = None,
        most_rows: int = MOST_ROWS,
    ) -> None:
        self._checkpoint = read_checkpoint(checkpoint)
        self._parts = PartSessions(repository)
        self._most_rows = most_rows
        self._most_held_out = round(most_rows * HELD_OUT_SHARE)
        self._load = load or (lambda head: load_task(head.route, data_root, cache=cache, head=head))

    def heads(self, only: Sequence[str] | None = None) -> list[HeadSpec]:
        """Return the heads that have data of their own: all but embeddings that share some.

        Raises:
            UnknownModelError: One of ``only`` is no head of the checkpoint.
        """
        heads = read_heads(self._checkpoint.directory, only)
        return [head for head in heads if only or not head.is_embedding]

    def fit(self, head: HeadSpec, advance: Advance) -> MeasuredReference:
        """Measure the reference of a head on its training data, and write it beside the head.

        Raises:
            ArtifactError: The data are missing or too few, or the trunk gives no summaries.
        """
        task = self._load(head)
        train, held_out = _rows_to_fit(task, self._most_rows, self._most_held_out)
        outside = self._run(head, *held_out, advance)
        logits = outside.pop(_LOGITS, None)
        drawn = draw_nonsense(head)
        strange = self._parts.run(head, drawn, range(len(drawn)), SUMMARIES, advance)
        reference = fit_reference(
            self._run(head, *train, advance, wanted=SUMMARIES),
            outside,
            strange=strange or None,
            scores=_scores(head, logits),
            parts=self._parts.digests(head),
            data=task.test_name,
        )
        path = self._checkpoint.model_directory(head) / REFERENCE_FILE
        write_file(path, (reference.model_dump_json(indent=1) + "\n").encode())
        return MeasuredReference(head, reference)

    def count_far(
        self, head: HeadSpec, reference: TrainingReference, split: str, advance: Advance
    ) -> MeasuredReference:
        """Count the rows of a split that a reference finds far: false alarms, if it is good."""
        data = self._load(head).splits[split]
        rows = evenly_spaced(len(data), self._most_held_out)
        summaries = self._run(head, data, rows, advance, wanted=reference.summaries)
        distances = Familiarity(reference).distances(summaries)
        return MeasuredReference(head, reference, len(rows), float(np.mean(distances > 1)))

    def _run(
        self,
        head: HeadSpec,
        data: Split,
        rows: Sequence[int],
        advance: Advance,
        wanted: Sequence[str] = (*SUMMARIES, _LOGITS),
    ) -> dict[str, Array]:
        tensors = self._parts.run(head, data.samples, rows, wanted, advance)
        if not tensors.keys() & set(SUMMARIES):
            raise ArtifactError(
                f"{head.route}: its trunk hands out neither {' nor '.join(SUMMARIES)}; "
                "export a network whose trunk has f_mean"
            )
        return tensors


def _rows_to_fit(
    task: TaskData, most_rows: int, most_held_out: int
) -> tuple[tuple[Split, Sequence[int]], tuple[Split, Sequence[int]]]:
    """Return the rows to fit to, and those to set the limit on: validation, or a fifth of training.

    Raises:
        ArtifactError: There are too few.
    """
    train = task.splits["train"]
    rows = evenly_spaced(len(train), most_rows)
    held_out = task.splits.get("val")
    if held_out is not None and len(held_out) >= _FEWEST_ROWS:
        chosen = train, rows
        outside = held_out, evenly_spaced(len(held_out), most_held_out)
    else:
        first = len(rows) * 4 // 5
        chosen, outside = (train, rows[:first]), (train, rows[first:])
    if len(outside[1]) < _FEWEST_ROWS or len(chosen[1]) < _FEWEST_ROWS:
        raise ArtifactError(f"{task.route}: has fewer than {_FEWEST_ROWS} rows to measure on")
    return chosen, outside


def _scores(head: HeadSpec, logits: Array | None) -> Array | None:
    """Return the scores of each label; None where a row has more than one answer."""
    if logits is None or logits.ndim != 2 or not head.labels:
        return None
    return sigmoid(logits) if head.is_multi_label else softmax(logits.astype(np.float64))
