"""The positions of the windows that a long recording is cut into."""

from __future__ import annotations

import numpy as np


def window_starts(length: int, window: int, max_windows: int) -> list[int]:
    """Return the first positions of windows that cover ``length`` as evenly as possible.

    There are as many windows as are needed to cover everything, but at most
    ``max_windows``. The first starts at 0 and the last ends at ``length``, so neighbours
    may overlap; if more windows would be needed, gaps are left. ``length`` is at least
    ``window``.
    """
    count = min(max_windows, -(-length // window))
    return [int(start) for start in np.linspace(0, length - window, count).round()]
