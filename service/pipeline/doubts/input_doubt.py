"""Inputs that a head cannot know: how far they are from its training, and what follows.

::

    notes of the pre-processor ─ empty ────────────┐
                                                   ├─► Doubt ─► note, ceilings of scores
    summaries of the trunk ─ distances from training ┘

An input in doubt is answered all the same, but not with confidence: no score is above .59, the
lower, the farther it is. The order of the classes stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from omnivec2.postprocess.numeric import is_averaged
from omnivec2.preprocess import Array
from omnivec2.preprocess.notes import Note, NoteCode
from service.pipeline.host_stages import PreparedInput
from service.runtimes.base import Model

_HIGHEST_SCORE, _LOWEST_SCORE = 0.59, 0.51
"""The ceiling of scores just beyond the limit, and that far beyond it. Of two classes one always
has one half, so that a lower one could not keep their order."""
_CERTAIN = 0.5
_EMPTY_DISTANCE = 4.0
"""The distance that stands for an input without content, wherever the trunk puts it."""
_FEW_PIXELS = 0.1
"""The share of pixels that may be far before their picture is."""


@dataclass(frozen=True)
class Doubt:
    """What is wrong with an input for a head.

    Attributes:
        ceilings: The highest score of each row; 1 for rows that are not in doubt.
        notes: The remarks that the pre-processor has not made.
    """

    ceilings: npt.NDArray[np.float64]
    notes: Sequence[Note] = ()


def split_summaries(
    model: Model, outputs: Mapping[str, Array]
) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """Return the outputs of a head, and the trunk's summaries that came with them."""
    if not model.summaries:
        return outputs, {}
    summaries = {name: outputs[name] for name in model.summaries if name in outputs}
    return {k: array for k, array in outputs.items() if k not in summaries}, summaries


def find_doubt(
    model: Model, summaries: Mapping[str, Array], rows: int, prepared: PreparedInput
) -> Doubt | None:
    """Return the doubt about an input; None for nearly all.

    Args:
        model: The model of the head.
        summaries: The trunk's summaries of the input's rows: name -> array (rows, width).
        rows: The number of rows.
        prepared: The input.
    """
    is_empty = bool(prepared.notes) and _is_empty(prepared, rows)
    far = None
    if model.familiarity is not None and summaries:
        far = model.familiarity.distances(summaries)
        if far.max() <= 1:
            far = None
    if far is None and not is_empty:
        return None
    distances = np.full(rows, _EMPTY_DISTANCE if is_empty else 0.0)
    notes: tuple[Note, ...] = ()
    if far is not None and (count := _count_far(far, prepared)) > 0:
        of_rows = _spread_over_rows(far, prepared)
        notes = (_far_note(model, count, rows, float(of_rows.max())),)
        distances = np.maximum(distances, of_rows)
    in_doubt = distances > 1
    if not in_doubt.any():
        return None
    span = _HIGHEST_SCORE - _CERTAIN
    lowered = np.maximum(_CERTAIN + span / np.maximum(distances, 1), _LOWEST_SCORE)
    return Doubt(np.where(in_doubt, lowered, 1.0), notes)


def notes_on_tensors(model: Model, summaries: Mapping[str, Array]) -> Sequence[Note]:
    """Return the notes on inputs that came as tensors, of which nothing but the rows is known.

    Each row stands for itself, and its outputs stay as they are: who sends tensors makes scores of
    them in a way of their own.

    Args:
        model: The model of the head.
        summaries: The trunk's summaries of the rows: name -> array (rows, width); empty without.
    """
    if model.familiarity is None or not summaries:
        return ()
    distances = model.familiarity.distances(summaries)
    count = int(np.count_nonzero(distances > 1))
    return (_far_note(model, count, len(distances), float(distances.max())),) if count else ()


def _is_empty(prepared: PreparedInput, rows: int) -> bool:
    """Whether the pre-processor says that the whole input shows nothing."""
    empty = [note for note in prepared.notes if note.code is NoteCode.EMPTY]
    independent = prepared.prepared.context.get("reduce") == "each" and rows > 1
    return any(note.count >= rows for note in empty) if independent else bool(empty)


def _count_far(distances: Array, prepared: PreparedInput) -> int:
    """Return how many rows are far, or 0 if they are too few for the input to be.

    Rows of a table stand for themselves. The windows of a recording are far if most are; of a
    scene's pixels some always are.
    """
    context = prepared.prepared.context
    count = int(np.count_nonzero(distances > 1))
    if "grid" in context:
        return count if count > _FEW_PIXELS * len(distances) else 0
    if is_averaged(context, len(distances)):
        return count if float(np.median(distances)) > 1 else 0
    return count


def _spread_over_rows(distances: Array, prepared: PreparedInput) -> npt.NDArray[np.float64]:
    """Return the distance that counts for each row: the median where rows are averaged."""
    if is_averaged(prepared.prepared.context, len(distances)):
        return np.full(len(distances), float(np.median(distances)))
    return np.asarray(distances, np.float64)


def _far_note(model: Model, count: int, rows: int, distance: float) -> Note:
    of_rows = f"{count:,} of {rows:,} rows are" if rows > 1 else "the input is"
    text = (
        f"{of_rows} unlike everything that {model.spec.route} was trained on (distance "
        f"{max(distance, 1.01):.3g}, its data are within 1): do not rely on this answer"
    )
    return Note(NoteCode.FAR_FROM_TRAINING, text, count=count)
