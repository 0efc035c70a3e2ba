from __future__ import annotations

import io

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.points.point_archives import read_archive
from omnivec2.preprocess.notes import collect_notes
from omnivec2.spec import Limits

LIMITS = Limits(points=100, decoded_bytes=10_000)
POINTS = np.arange(30.0).reshape(10, 3)
NORMALS = np.ones((10, 3))
LABELS = np.arange(10)


def npz(*unnamed, **arrays) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, *unnamed, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        npz(POINTS),
        npz(POINTS[None]),
        npz(points=POINTS, labels=LABELS),
        npz(normals=NORMALS, data=POINTS),
        npz(Y=LABELS.astype(str), X=POINTS, features=np.ones((10, 64))),
        npz(other=NORMALS, xyz=POINTS),
        npz(z=POINTS[:, 2], x=POINTS[:, 0], y=POINTS[:, 1], intensity=LABELS),
    ],
)
def test_the_points_are_found_among_other_arrays(data):
    assert np.array_equal(read_archive(data, LIMITS), POINTS)


def test_of_two_likely_names_the_likelier_is_read_and_noted():
    with collect_notes() as notes:
        points = read_archive(npz(pos=NORMALS, points=POINTS), LIMITS)
    assert np.array_equal(points, POINTS)
    assert [found.text for found in notes] == ["the array 'points' was read as the points, not pos"]


@pytest.mark.parametrize(
    "data",
    [npz(a=POINTS, b=NORMALS), npz(labels=LABELS), npz(a=POINTS[:, :2]), npz(x=LABELS, y=LABELS)],
)
def test_arrays_that_may_not_be_points_or_of_which_several_may_are_refused_by_name(data):
    with pytest.raises(InvalidInputError, match=r"named 'points' if .* it has \w+ \(10"):
        read_archive(data, LIMITS)


def test_axes_of_different_lengths_are_refused():
    with pytest.raises(InvalidInputError, match="differ in length"):
        read_archive(npz(x=LABELS, y=LABELS, z=LABELS[1:]), LIMITS)


def test_too_many_points_are_refused_before_they_are_unpacked():
    with pytest.raises(TooLargeError, match="101 points, the limit is 100"):
        read_archive(npz(points=np.zeros((101, 3))), LIMITS)
    with pytest.raises(TooLargeError):
        read_archive(npz(points=np.zeros((90, 64))), LIMITS)


def test_python_objects_are_not_unpickled():
    with pytest.raises((InvalidInputError, UndecodableError)):
        read_archive(npz(points=np.array([[{}, 1, 2]], dtype=object)), LIMITS)
