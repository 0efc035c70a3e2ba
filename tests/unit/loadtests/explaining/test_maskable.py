from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from loadtests.explaining import maskable


def pixels(value: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(value))))


def test_boxes_of_a_picture_get_its_mean_colour() -> None:
    picture = np.zeros((4, 6), np.uint8)
    picture[:, 3:] = 100
    one = maskable.picture(picture)
    masked = pixels(one.masked([{"box": {"xmin": 0, "ymin": 1, "xmax": 2, "ymax": 3}}]))
    assert (masked[1:3, :2] == 50).all()
    assert (masked[0] == picture[0]).all()
    assert (pixels(one.value) == picture).all()


def test_cells_of_depth_get_what_is_farthest_there() -> None:
    depths = np.full((3, 2, 2), 900, np.uint16)
    depths[1] = 500
    box = {"xmin": 0, "ymin": 0, "xmax": 1, "ymax": 2}
    value = maskable.depth(depths).masked([{"box": box, "first_frame": 1, "last_frame": 2}])
    masked = np.load(io.BytesIO(base64.b64decode(value)))
    assert masked[1].tolist() == [[900, 500], [900, 500]]


def test_spans_of_a_sound_become_silent() -> None:
    value = maskable.sound(np.ones(100, np.float32), 100).masked([{"start": 0.2, "end": 0.4}])
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(value)))
    assert rate == 100
    assert np.flatnonzero(samples == 0).tolist() == list(range(20, 40))


def test_spans_of_a_motion_stay_at_the_mean() -> None:
    signal = np.arange(8.0)[:, None]
    masked = maskable.motion(signal, ["x"], 4.0).masked([{"start": 0.5, "end": 1.0}])
    assert masked == {"x": [0.0, 1.0, 3.5, 3.5, 4.0, 5.0, 6.0, 7.0]}


def test_words_values_and_points_are_left_out() -> None:
    assert maskable.text("a good film").masked([{"start": 2, "end": 6}]) == "a film"
    assert maskable.text("good").masked([{"start": 0, "end": 4}]) == "."
    row = maskable.table_row({"age": 3, "job": "x"}).masked([{"column": "age"}])
    assert row == {"age": None, "job": "x"}
    cloud = maskable.points(np.eye(3)).masked([{"points": [0, 2]}])
    assert cloud == [[0.0, 1.0, 0.0]]
