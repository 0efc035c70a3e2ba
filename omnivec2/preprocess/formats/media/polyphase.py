"""Resampling by a rational ratio with a polyphase filter.

The filter is that of MATLAB's and SciPy's ``resample_poly``: a windowed sinc with a Kaiser window
(beta 5) of ten zero crossings per side. It is written out here because importing
``scipy.signal`` takes longer than the rest of the service together, and 60 MiB.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_ZERO_CROSSINGS = 10
_KAISER_BETA = 5.0

Signal = npt.NDArray[np.float64]


def resample(signal: Signal, up: int, down: int) -> Signal:
    """Resample to ``up / down`` times the rate.

    Beyond its ends the signal is taken to continue on the line through its first and last
    sample, so that a recording with an offset, such as gravity, has no jump there.

    Args:
        signal: The samples (count, channels); at least two.
        up: The numerator of the ratio, positive.
        down: The denominator of the ratio, positive.

    Returns:
        The samples (ceil(count * up / down), channels); the first is at the time of the first.
    """
    divisor = math.gcd(up, down)
    up, down = up // divisor, down // divisor
    if up == down:
        return signal.copy()
    wanted = -(-len(signal) * up // down)
    half, taps = _low_pass(up, down)
    # Output n is at the time n * down of a grid with up steps per sample. It weighs sample k with
    # the filter at n * down - k * up, so all outputs of one phase (n * down) % up share weights.
    reach = half // up + 1
    padded = _continued(signal, reach, reach + down // up + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    resampled = np.empty((wanted, signal.shape[1]))
    offsets = np.arange(-reach, reach + 1) * up
    for first in range(min(up, wanted)):
        centre, phase = divmod(first * down, up)
        places = phase - offsets + half
        inside = (places >= 0) & (places < len(taps))
        weights = np.where(inside, taps[np.clip(places, 0, len(taps) - 1)], 0.0)
        outputs = resampled[first::up]
        outputs[:] = windows[centre::down][: len(outputs)] @ weights
    return resampled


def _continued(signal: Signal, before: int, after: int) -> Signal:
    """Return the signal with samples on the line through its ends before and after it."""
    slope = (signal[-1] - signal[0]) / (len(signal) - 1)
    head = signal[0] - np.arange(before, 0, -1)[:, None] * slope
    tail = signal[-1] + np.arange(1, after + 1)[:, None] * slope
    return np.concatenate([head, signal, tail])


def _low_pass(up: int, down: int) -> tuple[int, Signal]:
    """Return half the length of the filter, and its taps, whose gain at 0 Hz is ``up``."""
    widest = max(up, down)
    half = _ZERO_CROSSINGS * widest
    taps = np.sinc(np.arange(-half, half + 1) / widest) * np.kaiser(2 * half + 1, _KAISER_BETA)
    return half, np.asarray(taps * (up / taps.sum()))
