from __future__ import annotations

import pytest

from omnivec2.preprocess.formats.media.windows import window_starts


@pytest.mark.parametrize(
    ("length", "starts"),
    [(64, [0]), (65, [0, 1]), (128, [0, 64]), (300, [0, 59, 118, 177, 236]), (10_000, [0, 9936])],
)
def test_windows_reach_from_the_first_to_the_last_value(length, starts):
    most = 2 if length > 1_000 else 8
    assert window_starts(length, 64, most) == starts
