from __future__ import annotations

import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.motion.channel_columns import find_channels
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.preprocess.imu import UCI_CHANNELS
from omnivec2.preprocess.notes import NoteCode, collect_notes


def found(*names, channels=UCI_CHANNELS):
    frame = Frame.of({name: [0.0] for name in names})
    return [(column.column, column.unit) for column in find_channels(frame, channels)]


def axes(*stems):
    return [stem.format(axis) for stem in stems for axis in "xyz"]


@pytest.mark.parametrize(
    ("stems", "units"),
    [
        (("acc_{}", "body_acc_{}", "body_gyro_{}"), (None, None, None)),
        (("total_acc_{}", "BodyAcc-{}", "Body Gyro {}"), (None, None, None)),
        (
            ("acc_{} [m/s^2]", "body_acc_{} (m/s²)", "body_gyro_{} (deg/s)"),
            ("m/s^2",) * 2 + ("deg/s",),
        ),
        (("acc_{}_g", "body_acc_{}_mg", "body_gyro_{}_rad_s"), ("g", "mg", "rad/s")),
        (("Accelerometer {}", "linear acceleration {}", "body gyroscope {}"), (None,) * 3),
    ],
)
def test_channels_are_found_in_any_order_and_spelling(stems, units):
    names = axes(*stems)
    expected = list(zip(names, [unit for unit in units for _ in "xyz"], strict=True))
    assert found(*reversed(names)) == expected


def test_a_rotation_is_that_of_the_body_and_noted():
    names = axes("a{}", "userAcceleration.{}", "rotationRate.{}")
    with collect_notes() as notes:
        assert [name for name, _ in found(*names)] == names
    assert [note.code for note in notes] == [NoteCode.GUESSED] * 3


def test_accelerations_without_gravity_are_not_guessed():
    with pytest.raises(InvalidInputError, match="missing columns 'body_acc_x'"):
        found(*axes("acc_{}", "gyro_{}"))


def test_a_column_is_not_taken_twice():
    with pytest.raises(InvalidInputError, match="missing column 'gyro_x'"):
        found("gx", channels=("body_gyro_x", "gyro_x"))


def test_names_of_other_heads_are_matched_exactly():
    assert found("Hip-1", "hip 2", channels=("hip_2", "hip_1")) == [
        ("hip 2", None),
        ("Hip-1", None),
    ]
