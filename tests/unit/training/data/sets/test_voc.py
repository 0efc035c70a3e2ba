from __future__ import annotations

import numpy as np

from omnivec2.training.data.sets.image import read_voc
from tests.support.data_sets.tiny_data import voc


def test_boxes_become_centres_and_sizes_as_shares_of_the_picture(tmp_path):
    file = tmp_path / "a.xml"
    file.write_text(voc((100, 50), [("b", 10, 10, 30, 20)]))
    found = read_voc(file, ("a", "b"))
    assert np.allclose(found["boxes"], [[0.2, 0.3, 0.2, 0.2]])
    assert found["labels"].tolist() == [1]


def test_boxes_without_an_area_and_repeated_ones_are_left_out(tmp_path):
    file = tmp_path / "a.xml"
    boxes = [("a", 10, 10, 10, 20), ("a", 5, 5, 9, 9), ("a", 5, 5, 9, 9), ("a", 99, 0, 140, 20)]
    file.write_text(voc((100, 50), boxes))
    assert len(read_voc(file, ("a",))["boxes"]) == 1


def test_boxes_are_clipped_to_the_picture_and_their_corners_put_in_order(tmp_path):
    file = tmp_path / "a.xml"
    file.write_text(voc((100, 50), [("a", 120, 60, 80, 40)]))
    assert np.allclose(read_voc(file, ("a",))["boxes"], [[0.9, 0.9, 0.2, 0.2]])


def test_a_picture_without_objects_has_no_boxes(tmp_path):
    file = tmp_path / "a.xml"
    file.write_text(voc((100, 50), []))
    found = read_voc(file, ("a",))
    assert found["boxes"].shape == (0, 4)
    assert found["labels"].shape == (0,)
