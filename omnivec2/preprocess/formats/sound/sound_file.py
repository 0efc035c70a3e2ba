"""A file of sound that was opened, whichever library reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Block = npt.NDArray[np.float32]

UNKNOWN_FRAMES = 2**36 - 1
"""From here on a stated length is what FLAC or libsndfile have in place of an unknown one."""


@dataclass(frozen=True)
class SoundFile:
    """A file of sound that was opened.

    Attributes:
        rate_hz: The stated number of samples per second.
        channels: The number of channels.
        stated_frames: The number of frames that the file states; None if it states none.
        floats: Whether it holds floating point samples, whose scale is not fixed.
        blocks: A function that starts to yield float32 blocks (frames, channels), from the first
            frame on.
    """

    rate_hz: int
    channels: int
    stated_frames: int | None
    floats: bool
    blocks: Callable[[], Iterator[Block]]
