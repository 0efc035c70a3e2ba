from __future__ import annotations

import math

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.motion.motion_units import factors, unit_in_name
from omnivec2.preprocess.imu import UCI_CHANNELS
from omnivec2.preprocess.notes import NoteCode, collect_notes

rng = np.random.default_rng(0)
SIGNAL = np.concatenate(
    (
        np.array([1.0, 0, 0]) + rng.normal(0, 0.1, (200, 3)),
        rng.normal(0, 0.1, (200, 3)),
        rng.normal(0, 0.5, (200, 3)),
    ),
    axis=1,
)
G = 9.80665


def found(scales=(1.0, 1.0), named=(None, None), acceleration=None, rotation=None):
    signal = SIGNAL * np.repeat(scales, (6, 3))
    names = [named[0]] * 6 + [named[1]] * 3
    with collect_notes() as notes:
        result = factors(signal, UCI_CHANNELS, names, acceleration=acceleration, rotation=rotation)
    return [result[0], result[8]], [note.code for note in notes]


@pytest.mark.parametrize("scale", [1000.0, G])
def test_plain_accelerations_are_converted_and_noted(scale):
    assert found((scale, 1)) == ([pytest.approx(1 / scale), 1], [NoteCode.GUESSED])


def test_values_in_the_units_of_the_head_stay():
    assert found() == ([1, 1], [])


def test_turns_that_no_person_makes_are_degrees():
    assert found((1, 180 / math.pi)) == ([1, pytest.approx(math.pi / 180)], [NoteCode.GUESSED])


def test_stated_units_are_converted_without_a_note():
    assert found((G, 1), acceleration="m/s^2") == ([pytest.approx(1 / G), 1], [])
    assert found(rotation="deg/s") == ([1, pytest.approx(math.pi / 180)], [])
    assert found((100 * G, 1), acceleration="cm/s^2")[0][0] == pytest.approx(0.01 / G)
    assert found((G, 1), acceleration="g") == ([1, 1], [])


def test_units_of_names_are_converted_and_noted():
    values, codes = found(named=("mg", "deg/s"))
    assert values == pytest.approx([0.001, math.pi / 180])
    assert codes == [NoteCode.CONVERTED]
    assert found(named=("g", "rad/s")) == ([1, 1], [])


def test_raw_counts_are_refused_with_the_units_that_are_known():
    with pytest.raises(InvalidInputError, match=r"raw counts.*g, mg, m/s\^2"):
        found((16_384, 131))


def test_accelerations_without_gravity_are_unusual():
    assert found((0.01, 1)) == ([1, 1], [NoteCode.UNUSUAL])


@pytest.mark.parametrize(
    ("column", "channel", "unit"),
    [
        *(("acc_x", "acc_x", None), ("acc_x_g", "acc_x", "g"), ("AccX (mG)", "acc_x", "mg")),
        *(("body_acc_x_mg", "body_acc_x", "mg"), ("accX_m/s2", "acc_x", "m/s^2")),
        *(("gyro x dps", "gyro_x", "deg/s"), ("gyro_x_rad_s", "gyro_x", "rad/s")),
        *(("gyro_x [mg]", "gyro_x", None), ("acc_x [counts]", "acc_x", None)),
    ],
)
def test_a_name_may_hold_a_unit_of_its_quantity(column, channel, unit):
    assert unit_in_name(column, channel) == unit
