from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.motion.recording_json import recording_from_json
from omnivec2.preprocess.notes import NoteCode, collect_notes

ROWS = np.arange(60.0).reshape(20, 3).tolist()
LISTS = np.transpose(ROWS).tolist()


def test_a_list_per_channel_is_a_row_per_sample():
    with collect_notes() as notes:
        assert recording_from_json(LISTS, 3, 8) == ROWS
    assert [note.code for note in notes] == [NoteCode.GUESSED]


def test_a_time_may_come_first():
    assert recording_from_json([[0.0] * 20, *LISTS], 3, 8) == [[0.0, *row] for row in ROWS]


@pytest.mark.parametrize("value", [ROWS, ROWS[:3], {"x": LISTS[0]}, [1, 2], "x", None, []])
def test_other_forms_stay_as_they_are(value):
    assert recording_from_json(value, 3, 8) == value


def test_another_number_of_long_lists_is_refused():
    with pytest.raises(InvalidInputError, match="3 lists of 20 numbers are no recording of 9"):
        recording_from_json(LISTS, 9, 8)


def test_triples_of_axes_are_columns():
    columns = dict(zip(("acc_x", "acc_y", "acc_z"), LISTS, strict=True))
    assert recording_from_json({"acc": ROWS}, 3, 8) == columns
    assert recording_from_json({"acc": LISTS, "t": LISTS[0]}, 3, 8) == {**columns, "t": LISTS[0]}
    pairs = {"acc": [[1, 2]] * 9}
    assert recording_from_json(pairs, 3, 8) == pairs
