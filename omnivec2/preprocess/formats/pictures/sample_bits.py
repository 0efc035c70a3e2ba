"""How many of 16 bits are used: cameras and converters have fewer than the files they write."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FULL_BITS = 16
_COMMON_DEPTHS = (8, 10, 12, 14)
"""The bits of sensors and converters whose values are found in 16-bit files."""


def significant_bits(values: npt.NDArray[np.uint16]) -> int:
    """Return how many of 16 bits are used, as one of the usual depths; 16 if more than 14."""
    peak = int(values.max(initial=0))
    if peak == 0:
        return FULL_BITS
    return next((bits for bits in _COMMON_DEPTHS if peak < 1 << bits), FULL_BITS)
