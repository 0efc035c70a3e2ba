from __future__ import annotations

import pytest

from omnivec2.preprocess.notes import Note, NoteCode
from service.http.notes_header import MORE, notes_value, parse_notes


def test_a_note_is_a_token_with_parameters() -> None:
    notes = [
        Note(NoteCode.CUT, "its end was not read", "inputs[0]", 412),
        Note(NoteCode.UNKNOWN_CATEGORY, "never seen"),
    ]
    assert notes_value(notes) == (
        'cut;field="inputs[0]";count=412;text="its end was not read", '
        'unknown_category;count=1;text="never seen"'
    )


def test_quotes_and_backslashes_are_escaped() -> None:
    value = notes_value([Note(NoteCode.IGNORED, 'a "b" \\ c')])
    assert value == 'ignored;count=1;text="a \\"b\\" \\\\ c"'


def test_usual_signs_are_written_in_ascii() -> None:
    value = notes_value([Note(NoteCode.CONVERTED, "from m/s² — 9.81 … 5 µm")])
    assert value.endswith('text="from m/s2 - 9.81 ... 5 um"')


@pytest.mark.parametrize("name", ["Größe", "年齢 100%", "a\nb", 'x"\x7f', "\ud800"])
def test_other_signs_are_a_display_string_that_no_header_breaks_at(name: str) -> None:
    value = notes_value([Note(NoteCode.IGNORED, "not used", name)])
    assert value.isascii()
    assert value.isprintable()
    (note,) = parse_notes(value)
    assert note["field"] == name.encode(errors="replace").decode()


def test_notes_come_back_as_they_were() -> None:
    notes = [
        Note(code, f'text "{code}", 50 % \\', f"inputs[{i}]", i) for i, code in enumerate(NoteCode)
    ]
    assert parse_notes(notes_value(notes)) == [note.to_json() for note in notes]


def test_too_many_notes_are_counted_in_the_last_member() -> None:
    notes = [Note(NoteCode.FILLED, "x" * 100, f"inputs[{number}]") for number in range(64)]
    value = notes_value(notes)
    assert len(value) <= 2048
    *shown, last = parse_notes(value)
    assert len(shown) > 10
    assert last == {"code": MORE, "count": 64 - len(shown)}


def test_a_long_field_is_shortened() -> None:
    assert len(notes_value([Note(NoteCode.IGNORED, "not used", "n" * 5000)])) < 200
