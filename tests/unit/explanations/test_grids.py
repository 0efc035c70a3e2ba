from __future__ import annotations

import numpy as np
import pytest

from omnivec2.explanations.grids import cells


@pytest.mark.parametrize("most", [1, 5, 64])
def test_cells_cover_the_network_s_picture_once(most: int) -> None:
    covered = np.zeros((60, 90), int)
    grid = cells((90, 60), (900, 600), "stretch", most)
    for cell in grid:
        covered[slice(*cell.rows), slice(*cell.columns)] += 1
    assert (covered == 1).all()
    assert len(grid) <= most


def test_boxes_of_a_stretched_picture_cover_the_original() -> None:
    grid = cells((96, 96), (480, 320), "stretch", 64)
    assert len(grid) == 64
    assert grid[0].box == {"xmin": 0, "ymin": 0, "xmax": 60, "ymax": 40}
    assert grid[-1].box == {"xmin": 420, "ymin": 280, "xmax": 480, "ymax": 320}


def test_boxes_of_a_cropped_picture_cover_the_middle_that_the_network_sees() -> None:
    grid = cells((96, 96), (480, 320), "crop", 64)
    assert grid[0].box == {"xmin": 80, "ymin": 0, "xmax": 120, "ymax": 40}
    assert grid[-1].box == {"xmin": 360, "ymin": 280, "xmax": 400, "ymax": 320}


def test_a_tiny_picture_has_no_more_cells_than_pixels() -> None:
    grid = cells((96, 96), (3, 2), "stretch", 64)
    assert len(grid) == 6
    assert all(cell.box["xmax"] > cell.box["xmin"] for cell in grid)
