"""The answer to an input that is computed in pieces, of which one at a time is in memory.

A piece goes the way of a short input up to the network's outputs, which are kept: a few numbers per
window. Post-processing gets those of all pieces at the end, and averages them as it does the
windows of a short recording.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError, TooLargeError
from omnivec2.preprocess import Array, Prepared
from omnivec2.preprocess.notes import Note
from omnivec2.spec import HeadSpec, TaskFamily
from service.jobs.cutting.kept_pieces import ComputedPiece, KeptPieces
from service.pipeline.answers import RequestNotes, Timings, ValueAnswer
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import Head, PreparedInput, RawInput
from service.pipeline.task_requests import TaskRequest, group_by_preprocessing, requests_of_heads

_LOG = logging.getLogger(__name__)

_MOST_NOTES = 100
"""The most different notes on pieces that are kept: those on the most pieces."""

_AVERAGED = frozenset({TaskFamily.CLASSIFICATION, TaskFamily.REGRESSION, TaskFamily.EMBEDDING})
"""Families whose answer to a recording is the mean of the answers to its windows."""


@dataclass(frozen=True)
class PieceWay:
    """How the pieces of an input are computed.

    Attributes:
        turn: A function that returns a context manager, within which a piece is computed.
        on_done: The callback for the number of pieces that are computed.
        kept: The pieces that earlier attempts have computed, to be added to.
        maker: The description of what makes pieces; see ``kept_pieces.maker_of``.
    """

    turn: Callable[[], AbstractAsyncContextManager[None]]
    on_done: Callable[[int], None]
    kept: KeptPieces
    maker: str


def check_pieces(specs: Sequence[HeadSpec]) -> None:
    """Refuse heads that cannot answer an input in pieces.

    Raises:
        TooLargeError: One of them answers whole inputs only.
    """
    for spec in specs:
        if spec.family not in _AVERAGED or spec.generation is not None:
            raise TooLargeError(
                f"{spec.route} answers whole recordings only, not such that must be cut",
                field="inputs",
            )


async def answer_pieces(
    plane: DataPlane,
    heads: Sequence[Head],
    parameters: Mapping[str, JsonValue],
    pieces: AsyncIterable[RawInput],
    notes: RequestNotes,
    way: PieceWay,
) -> list[ValueAnswer]:
    """Return the answer of each head to an input that comes in pieces.

    Args:
        plane: The data plane.
        heads: The heads of one modality; see ``check_pieces``.
        parameters: The parameters of the request; see ``DataPlane.predict_tasks``.
        pieces: The pieces; the next is asked for when the one before is computed.
        notes: The notes on the request, to be added to.
        way: The way in which pieces are computed.

    Raises:
        InputError: As for ``DataPlane.predict``, and so are the other errors.
    """
    timings = Timings()
    requests = requests_of_heads(heads, parameters)
    groups = group_by_preprocessing(requests)
    rows: dict[str, list[Mapping[str, Array]]] = {head.spec.task: [] for head in heads}
    contexts: dict[str, Mapping[str, Any]] = {}
    noted: Counter[Note] = Counter()
    known = await way.kept.load(way.maker)
    if known:
        _LOG.info("%d pieces of the recording were computed by an earlier attempt", len(known))
    count = 0
    async for raw in pieces:
        count += 1
        if count <= len(known):
            piece = known[count - 1]
        else:
            own = RequestNotes(strict=notes.is_strict)
            async with way.turn():
                outputs = await _compute(plane, groups, raw, timings, own, contexts)
            piece = ComputedPiece(outputs, own.in_order())
            await way.kept.keep(count - 1, piece, way.maker)
        for task, output in piece.outputs.items():
            rows[task].append(output)
        noted.update(piece.notes)
        way.on_done(count)
    notes.add([_of_pieces(note, seen, count) for note, seen in noted.most_common(_MOST_NOTES)])
    if not contexts:
        raise InvalidInputError("the recording holds nothing", field="inputs")
    return [await _finish(plane, request, rows, contexts, timings, notes) for request in requests]


async def _compute(
    plane: DataPlane,
    groups: Sequence[Sequence[TaskRequest]],
    raw: RawInput,
    timings: Timings,
    notes: RequestNotes,
    contexts: dict[str, Mapping[str, Any]],
) -> Mapping[str, Mapping[str, Array]]:
    """Return the network's outputs for a piece by task, and record the context of each task."""
    made: dict[str, Mapping[str, Array]] = {}
    for group in groups:
        prepared, outputs = await plane.inputs.infer(group, raw, timings, notes)
        for request, output in zip(group, outputs, strict=True):
            task = request.head.spec.task
            made[task] = output
            contexts[task] = {**prepared.prepared.context, "reduce": "mean"}
    return made


def _of_pieces(note: Note, seen: int, count: int) -> Note:
    """Return a note on some pieces as one on the recording."""
    if seen == count:
        return note
    return replace(note, text=f"in {seen} of {count} pieces of the recording: {note.text}")


async def _finish(
    plane: DataPlane,
    request: TaskRequest,
    rows: Mapping[str, Sequence[Mapping[str, Array]]],
    contexts: Mapping[str, Mapping[str, Any]],
    timings: Timings,
    notes: RequestNotes,
) -> ValueAnswer:
    head = request.head
    of_head = rows[head.spec.task]
    outputs = {name: np.concatenate([row[name] for row in of_head]) for name in of_head[0]}
    whole = PreparedInput(Prepared([], contexts[head.spec.task]), None, 0.0, 0.0, 0.0)
    value: JsonValue = await plane.inputs.finish(request, outputs, whole, timings, notes)
    body = head.postprocessor.combine([value], batched=False, spec=head.spec)
    return ValueAnswer(body, [head.model], timings, notes.in_order())
