"""Notes: what a preprocessor did not understand, had to guess, or left out of an input."""

from omnivec2.preprocess.notes.input_notes import (
    MOST_NOTES,
    CollectedNotes,
    Note,
    NoteCode,
    collect_notes,
    note,
)

__all__ = ["MOST_NOTES", "CollectedNotes", "Note", "NoteCode", "collect_notes", "note"]
