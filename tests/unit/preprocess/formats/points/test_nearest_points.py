from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from omnivec2.preprocess.formats.points import nearest_points
from omnivec2.preprocess.formats.points.nearest_points import nearest_centre, nearest_neighbours


@pytest.fixture(params=[2**17, 50])
def cloud(request, monkeypatch):
    monkeypatch.setattr(nearest_points, "_BLOCK_PAIRS", request.param)
    return np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)


def test_neighbours_are_those_of_a_tree_nearest_first(cloud):
    centres = cloud[:20]
    _, expected = cKDTree(cloud).query(centres, k=16)
    np.testing.assert_array_equal(nearest_neighbours(cloud, centres, 16), expected)


def test_every_point_finds_the_centre_that_a_tree_finds(cloud):
    centres = cloud[:20]
    _, expected = cKDTree(centres).query(cloud)
    np.testing.assert_array_equal(nearest_centre(cloud, centres), expected)


def test_of_equally_distant_points_the_first_comes_first():
    points = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]], np.float32)
    origin = np.zeros((1, 3), np.float32)
    assert nearest_neighbours(points, origin, 4).tolist() == [[2, 3, 0, 1]]
    assert nearest_centre(origin, points).tolist() == [2]
