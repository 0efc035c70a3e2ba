from __future__ import annotations

import io

import numpy as np
import pytest

from omnivec2.errors import InputError, InvalidInputError
from omnivec2.preprocess.formats.points.point_arrays import points_of_array, points_of_json
from omnivec2.preprocess.notes import collect_notes
from omnivec2.preprocess.pointcloud import PointCloudParameters, PointCloudPreprocessor

POINTS = np.arange(60.0).reshape(20, 3)


@pytest.mark.parametrize(
    "array",
    [POINTS, POINTS.T, POINTS[None], POINTS.T[None], np.hstack([POINTS, POINTS]).T],
    ids=["rows", "columns", "one", "one of columns", "six columns"],
)
def test_axes_are_told_apart_by_their_sizes(array):
    with collect_notes() as notes:
        assert points_of_array(array).tolist() == POINTS.tolist()
    guessed = [note for note in notes if note.code == "guessed"]
    assert bool(guessed) == (array.shape[-1] == 20)


@pytest.mark.parametrize(
    "shape", [(3, 6), (3, 16), (20, 2), (20,), (2, 20, 3), (20, 5000), (8, 8, 8)]
)
def test_other_shapes_are_refused_by_their_shape(shape):
    with pytest.raises(InvalidInputError, match="shape"):
        points_of_array(np.zeros(shape))


def test_records_are_read_by_their_fields():
    kinds = [("rgb", "u1", (3,)), ("Z", ">f4"), ("y", "<f8"), ("X", "<i4")]
    records = np.zeros((4, 5), kinds)
    records["X"], records["y"], records["Z"] = (np.arange(20).reshape(4, 5) + k for k in range(3))
    points = points_of_array(records)
    assert points.tolist() == [[k, k + 1, k + 2] for k in range(20)]
    vectors = np.zeros(20, [("normal", "f4", (3,)), ("xyz", "f4", (3,))])
    vectors["xyz"] = POINTS
    assert points_of_array(vectors).tolist() == POINTS.tolist()
    for other in ([("a", "f4")], [("a", "f4"), ("b", "f4"), ("c", "f4")], [("xyz", "f4", (2,))]):
        with pytest.raises(InputError):
            points_of_array(np.zeros(3, other))


def test_files_of_records_are_taken_and_of_objects_are_not():
    preprocess = PointCloudPreprocessor(PointCloudParameters())
    for kinds, taken in (([(k, "f4") for k in "xyz"], True), ([("x", "O")], False)):
        stream = io.BytesIO()
        np.save(stream, np.ones(2, kinds), allow_pickle=True)
        if taken:
            assert len(preprocess.decode(stream.getvalue())) == 2
        else:
            with pytest.raises(InputError):
                preprocess.decode(stream.getvalue())


@pytest.mark.parametrize(
    "value",
    [
        [{"x": 1, "y": 2}],
        [{"x": 1, "y": 2, "z": 3}, {"x": 1, "y": 2}],
        [{"x": 1, "y": 2, "z": 3}, 5],
        [{"x": "1", "y": 2, "z": 3}],
        {"x": [1], "y": [2], "z": [3, 4]},
        {"x": 1, "y": 2, "z": 3},
        {"columns": ["a", "b", "c"], "data": [[1, 2, 3]]},
        {"columns": ["x", "y", "z"], "data": [[1, 2]]},
        {},
        [],
        [1, 2, 3],
        [[1, 2, "3"]],
        [[1, 2, 10**400]],
        [None],
        "text",
    ],
)
def test_json_that_is_no_cloud_is_refused(value):
    with pytest.raises(InvalidInputError):
        points_of_json(value)


def test_a_list_of_records_is_one_cloud_and_a_list_of_objects_of_columns_is_many():
    preprocess = PointCloudPreprocessor(PointCloudParameters())
    columns = {"x": [1, 2], "y": [1, 2], "z": [1, 2]}
    assert preprocess.split([{"x": 1, "y": 2, "z": 3}] * 2) is None
    assert preprocess.split([columns, columns]) == [columns, columns]
    assert preprocess.split([{"points": "AAAA"}]) == [{"points": "AAAA"}]
