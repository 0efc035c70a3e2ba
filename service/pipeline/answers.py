"""Answers of the data plane, the notes on their inputs, and the time that each stage took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from omnivec2.errors import NotedInputError
from omnivec2.preprocess import Array
from omnivec2.preprocess.notes import Note
from service.request_context import REQUEST
from service.runtimes.base import Model


@dataclass
class Timings:
    """Seconds spent per stage, added up over the inputs of a request.

    Written by the event loop's thread only.
    """

    decode: float = 0.0
    preprocess: float = 0.0
    queue: float = 0.0
    compute: float = 0.0
    postprocess: float = 0.0

    def add(self, stage: str, started: float, seconds: float) -> None:
        """Add to a stage, and record it in the request's trace.

        Args:
            stage: The name of one of the fields.
            started: The value of ``time.perf_counter()`` at its start.
            seconds: The time that was spent.
        """
        setattr(self, stage, getattr(self, stage) + seconds)
        if spans := REQUEST.get().spans:
            spans.record_stage(stage, started, seconds)


class RequestNotes:
    """The notes on the inputs of a request.

    Written by the event loop's thread only.

    Args:
        strict: Whether the request is refused at its first input with notes.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self._by_input: dict[int, dict[Note, None]] = {}

    @property
    def is_strict(self) -> bool:
        """Whether the request is refused at its first input with notes."""
        return self._strict

    def add(self, notes: Sequence[Note], index: int | None = None) -> None:
        """Add the notes on one input; those that are known are not added again.

        Args:
            notes: The notes.
            index: The place of the input in a request for several; None for the only one, or for
                the request itself.

        Raises:
            NotedInputError: There are notes, and the request is strict.
        """
        if not notes:
            return
        if index is not None:
            notes = [note.of_input(index) for note in notes]
        if self._strict:
            raise NotedInputError(
                f"strict: {notes[0].text}",
                [note.to_json() for note in notes],
                field=notes[0].field or "inputs",
            )
        self._by_input.setdefault(-1 if index is None else index, {}).update(dict.fromkeys(notes))

    def in_order(self) -> tuple[Note, ...]:
        """Return the notes in the order of the inputs."""
        if not self._by_input:
            return ()
        return tuple(note for _, notes in sorted(self._by_input.items()) for note in notes)


@dataclass(frozen=True)
class Answer:
    """The body of a response (JSON), the models that gave it, and what is known of its making.

    Attributes:
        body: The body.
        models: The models.
        timings: The time of each stage.
        notes: The remarks on the inputs, in their order.
    """

    body: bytes
    models: Sequence[Model]
    timings: Timings
    notes: Sequence[Note] = ()


@dataclass(frozen=True)
class ValueAnswer:
    """An answer before it is written in the form of a route.

    Attributes:
        value: The answer, as a JSON value.
        models: The models that gave it.
        timings: The time of each stage.
        notes: The remarks on the inputs, in their order.
    """

    value: JsonValue
    models: Sequence[Model]
    timings: Timings
    notes: Sequence[Note] = ()


@dataclass(frozen=True)
class FilesAnswer:
    """The answer to files, as the command line shows it.

    Attributes:
        value: The answer to one file, or a list of answers.
        notes: The remarks on the files, each in the form of ``Note.to_json``.
    """

    value: JsonValue
    notes: Sequence[Mapping[str, JsonValue]]


@dataclass(frozen=True)
class TensorAnswer:
    """The tensors of an answer, and what is known of its making.

    Attributes:
        outputs: The tensors by name: arrays (batch, ...).
        model: The model that gave them.
        timings: The time of each stage.
        notes: The remarks on the inputs.
    """

    outputs: Mapping[str, Array]
    model: Model
    timings: Timings
    notes: Sequence[Note] = ()

    @property
    def nbytes(self) -> int:
        """The bytes of the outputs' values."""
        return sum(array.nbytes for array in self.outputs.values())
