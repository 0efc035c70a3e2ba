from __future__ import annotations

import pytest

from omnivec2.preprocess.formats.media.frame_sampling import uniform_frames


@pytest.mark.parametrize(
    ("count", "wanted", "frames"),
    [
        (8, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (100, 4, [12, 37, 62, 87]),
        (2, 4, [0, 0, 1, 1]),
        (1, 3, [0, 0, 0]),
    ],
)
def test_the_middle_of_every_equal_part_is_chosen(count, wanted, frames):
    assert uniform_frames(count, wanted).tolist() == frames
