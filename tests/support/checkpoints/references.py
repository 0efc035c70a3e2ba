"""A training reference of a made-up head, which knows rows near zero."""

from __future__ import annotations

import numpy as np

from omnivec2.familiarity import TrainingReference
from omnivec2.familiarity.fit_reference import fit_reference

WIDTH = 6


def made_up_reference(**parts: str) -> TrainingReference:
    """Return a reference of the summary ``f_mean``, normally distributed in every direction."""
    rng = np.random.default_rng(0)
    train, held_out = ({"f_mean": rng.normal(size=(200, WIDTH))} for _ in range(2))
    return fit_reference(train, held_out, parts=parts)
