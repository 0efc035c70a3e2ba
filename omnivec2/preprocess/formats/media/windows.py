"""Where the windows lie that a long recording is cut into."""

from __future__ import annotations

import numpy as np


def window_starts(length: int, window: int, most: int) -> list[int]:
    """First positions of windows that cover ``length`` as evenly as they can.

    There are as many windows as cover everything, at most ``most``; the first starts
    at 0 and the last ends at the end, so neighbours may overlap, and beyond ``most``
    windows leave gaps. ``length`` is at least ``window``.
    """
    count = min(most, -(-length // window))
    return [int(start) for start in np.linspace(0, length - window, count).round()]
