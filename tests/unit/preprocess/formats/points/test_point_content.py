from __future__ import annotations

import numpy as np
import pytest

from omnivec2.arrays import Array
from omnivec2.preprocess.formats.points.point_content import note_content
from omnivec2.preprocess.notes import Note, NoteCode, collect_notes

LINE = np.linspace(-1, 1, 500)[:, None] * [3.0, -1.0, 0.5]


def notes_on(points: Array) -> list[Note]:
    with collect_notes() as notes:
        note_content(points.astype(np.float64), 32)
    return list(notes)


@pytest.mark.parametrize(
    "points",
    [np.ones((1, 3)), np.ones((50, 3)), np.array([[0, 0, 0], [1, 2, 3]]), LINE, 1e15 * LINE],
    ids=["a point", "one place", "two points", "a line", "a long line"],
)
def test_a_place_and_a_line_show_nothing(points: Array) -> None:
    assert [note.code for note in notes_on(points)] == [NoteCode.EMPTY]


def test_a_line_may_have_the_noise_of_rounding_but_not_the_thickness_of_a_pole() -> None:
    noise = np.random.default_rng(0).normal(size=LINE.shape)
    assert [note.code for note in notes_on(LINE + 1e-5 * noise)] == [NoteCode.EMPTY]
    assert not notes_on(LINE + 0.02 * noise)


def test_a_plane_and_a_thin_rod_have_a_surface() -> None:
    rng = np.random.default_rng(0)
    assert not notes_on(rng.uniform(size=(500, 3)) * [1, 1, 0])
    assert not notes_on(rng.uniform(size=(500, 3)) * [1, 0.01, 0.01])


def test_few_points_show_little() -> None:
    points = np.random.default_rng(0).normal(size=(5, 3))
    assert [note.code for note in notes_on(points)] == [NoteCode.UNUSUAL]
