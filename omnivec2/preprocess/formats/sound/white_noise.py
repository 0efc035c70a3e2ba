"""White noise: what a microphone without a signal, or a random number generator, records.

Its power is the same at all frequencies and at all times, but for chance. Rain and surf come near.
Of 240 recordings of ESC-10 the flattest differs by 0.12 from its spectrum and varies by 1.08, the
steadiest by 0.43 and 1.06; white noise of a second by 0.10 and 0.82.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from omnivec2.arrays import Array
from omnivec2.preprocess.formats.media.filter_banks import FilterBanks
from omnivec2.preprocess.notes import NoteCode, note

_UNEVENNESS = 0.15
"""The largest standard deviation over frequency of the mean log energies, from white noise's."""
_VARIATION = 0.95
"""The largest standard deviation over time of log energies: that of white noise is about 0.82."""
_FEWEST_FRAMES = 64
_FEW = 8
_SECONDS = 10


def report_white_noise(windows: Sequence[Array], banks: FilterBanks) -> None:
    """Make a note if all windows of a recording are white noise; most are told by the first."""
    if all(is_white_noise(window, banks) for window in windows):
        note(NoteCode.EMPTY, "the recording is white noise from its beginning to its end")


def is_white_noise(fbank: Array, banks: FilterBanks) -> bool:
    """Whether log energies (frames, bins) are those of white noise of any level.

    Args:
        fbank: The log energies of a recording, without padding.
        banks: The filter banks that they are from.
    """
    if len(fbank) < _FEWEST_FRAMES:
        return False
    # The lowest bins hold a line of the spectrum or none, the highest what resampling left over.
    bins = slice(fbank.shape[1] // 4, fbank.shape[1] * 19 // 20)
    if fbank[::_FEW, bins].std(axis=0).mean() > _VARIATION * 1.1:
        return False
    uneven = fbank[:, bins].mean(axis=0) - _white_levels(banks)[bins]
    steady = fbank[:, bins].std(axis=0).mean() <= _VARIATION
    return bool(steady and uneven.std() <= _UNEVENNESS)


@lru_cache(maxsize=8)
def _white_levels(banks: FilterBanks) -> Array:
    """Return the mean log energies of white noise, (bins,), up to a constant."""
    noise = np.random.default_rng(0).normal(size=banks.rate_hz * _SECONDS)
    return np.asarray(banks(noise.astype(np.float32)).mean(axis=0))
