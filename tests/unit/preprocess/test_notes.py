"""Notes are collected where somebody asks for them, and counted."""

from __future__ import annotations

from omnivec2.preprocess.notes import MOST_NOTES, Note, NoteCode, collect_notes, note


def test_notes_are_kept_in_order() -> None:
    with collect_notes() as notes:
        note(NoteCode.IGNORED, "the second page is not read")
        note(NoteCode.CUT, "the text is cut at 128 tokens", field="inputs", count=12)
    assert list(notes) == [
        Note(NoteCode.IGNORED, "the second page is not read"),
        Note(NoteCode.CUT, "the text is cut at 128 tokens", "inputs", 12),
    ]


def test_the_same_note_is_counted_rather_than_repeated() -> None:
    with collect_notes() as notes:
        for _ in range(3):
            note(NoteCode.DROPPED, "rows without a date are left out", field="date", count=2)
    assert [kept.count for kept in notes] == [6]


def test_notes_of_an_input_are_bounded() -> None:
    with collect_notes() as notes:
        for number in range(10 * MOST_NOTES):
            note(NoteCode.IGNORED, f"column {number} is not used")
    assert len(notes) == MOST_NOTES


def test_a_note_that_nobody_collects_is_forgotten() -> None:
    note(NoteCode.IGNORED, "nobody listens")
    with collect_notes() as notes:
        pass
    note(NoteCode.IGNORED, "nobody listens any more")
    assert len(notes) == 0


def test_an_inner_collection_leaves_the_outer_one_alone() -> None:
    with collect_notes() as outer:
        note(NoteCode.CUT, "outside")
        with collect_notes() as inner:
            note(NoteCode.CUT, "inside")
    assert [kept.text for kept in outer] == ["outside"]
    assert [kept.text for kept in inner] == ["inside"]
