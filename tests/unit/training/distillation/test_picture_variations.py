"""Variations of pictures that a student sees."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from omnivec2.training.distillation.picture_variations import drawing, varied


@pytest.mark.parametrize("seed", range(40))
def test_variations_are_parts_of_the_picture_in_colour_form(seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    found = varied(picture, rng)
    assert found.mode == "RGB"
    assert 6 <= found.width <= 60
    assert 6 <= found.height <= 40


def test_drawings_differ_and_show_something() -> None:
    rng = np.random.default_rng(0)
    found = [np.asarray(drawing(rng)) for _ in range(50)]
    assert all(picture.shape[2] == 3 and 8 <= len(picture) <= 32 for picture in found)
    assert sum(np.ptp(picture) > 60 for picture in found) > 45
    assert len({picture.tobytes() for picture in found}) == 50
