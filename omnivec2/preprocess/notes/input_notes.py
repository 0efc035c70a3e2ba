"""Notes: what a preprocessor did not understand, had to guess, or left out of an input.

A preprocessor calls :func:`note` where it happens; whoever wants to know collects the notes of
an input with :func:`collect_notes`. Without a collector, as in training, notes cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import StrEnum

MOST_NOTES = 16
"""The notes kept of one input; those of further kinds are dropped, as nobody reads so many."""

_LONGEST_TEXT = 300


class NoteCode(StrEnum):
    """What happened to an input on its way into the network."""

    CUT = "cut"
    """A part was left out because it is over a limit: the end of a text, of a recording."""

    IGNORED = "ignored"
    """A part was not used: a column, a further page, track, sheet or attachment."""

    DROPPED = "dropped"
    """Rows, points or samples were left out, as they hold no usable values."""

    FILLED = "filled"
    """Missing values were filled in."""

    RESAMPLED = "resampled"
    """The input was brought to another sampling rate, grid or order."""

    CONVERTED = "converted"
    """Values were converted from a unit, scale or axis convention that the input states."""

    GUESSED = "guessed"
    """A unit, scale, meaning or order is not stated in the input and was concluded from it."""

    UNKNOWN_CATEGORY = "unknown_category"
    """A category or word that the network never saw."""

    UNUSUAL = "unusual"
    """Values lie far outside of what the network was trained on."""

    FAR_FROM_TRAINING = "far_from_training"
    """To the trunk the input looks unlike everything that the head was trained on."""

    EMPTY = "empty"
    """The input shows nothing: an even picture, silence, a text without words."""

    REPAIRED = "repaired"
    """The file is damaged or breaks its format's rules, and was read all the same."""


@dataclass(frozen=True)
class Note:
    """One remark on an input.

    Attributes:
        code: The kind of the remark.
        text: A plain sentence for people, which says what was done and how to avoid it.
        field: The part of the input: a column, a key, a band; None for the whole.
        count: The number of times that it happened: rows, tokens, samples.
    """

    code: NoteCode
    text: str
    field: str | None = None
    count: int = 1

    def to_json(self) -> dict[str, str | int]:
        """Return the note as JSON shows it; without a field if it is about the whole input."""
        field = {} if self.field is None else {"field": self.field}
        return {"code": self.code.value, **field, "count": self.count, "text": self.text}

    def of_input(self, index: int) -> Note:
        """Return the note as one on the input of an index: its field begins with ``inputs[i]``."""
        field = self.field or "inputs"
        is_path = field == "inputs" or field.startswith(("inputs.", "inputs["))
        rest = field.removeprefix("inputs") if is_path else f".{field}"
        return replace(self, field=f"inputs[{index}]{rest}")


class _Collector:
    def __init__(self) -> None:
        self.notes: dict[tuple[NoteCode, str | None, str], Note] = {}

    def add(self, new: Note) -> None:
        key = new.code, new.field, new.text
        if (known := self.notes.get(key)) is not None:
            self.notes[key] = replace(known, count=known.count + new.count)
        elif len(self.notes) < MOST_NOTES:
            self.notes[key] = new


_COLLECTOR: ContextVar[_Collector | None] = ContextVar("note_collector", default=None)


class CollectedNotes:
    """The notes of an input, in the order in which they were made; the same ones are counted."""

    def __init__(self, collector: _Collector) -> None:
        self._collector = collector

    def __iter__(self) -> Iterator[Note]:
        return iter(tuple(self._collector.notes.values()))

    def __len__(self) -> int:
        return len(self._collector.notes)


def note(code: NoteCode, text: str, *, field: str | None = None, count: int = 1) -> None:
    """Make a remark on the input that is being read; nothing happens if nobody collects notes.

    Args:
        code: The kind of the remark.
        text: A plain sentence for people: what was done, and how to avoid it.
        field: The part of the input that it is about.
        count: The number of times that it happened in this input.
    """
    if (collector := _COLLECTOR.get()) is not None:
        collector.add(Note(code, text[:_LONGEST_TEXT], field, count))


@contextmanager
def collect_notes() -> Iterator[CollectedNotes]:
    """Collect the notes that are made within the ``with`` block, in its thread."""
    collector = _Collector()
    token = _COLLECTOR.set(collector)
    try:
        yield CollectedNotes(collector)
    finally:
        _COLLECTOR.reset(token)
