"""The choice of frames of a sequence, for video and depth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def uniform_frames(count: int, wanted: int) -> npt.NDArray[np.int64]:
    """Return the indices of ``wanted`` frames spread evenly over ``count``.

    The sequence is cut into ``wanted`` equal segments and the middle of each is chosen, as
    in Temporal Segment Networks (Wang et al., 2016); a shorter sequence repeats frames.
    """
    return ((np.arange(wanted) + 0.5) * count / wanted).astype(np.int64)
