"""Kaldi's log-mel filter banks, in numpy.

Kaldi itself and kaldi-native-fbank refuse 128 bins at 16 kHz, because the lowest bins
are narrower than the distance between two frequencies of the transform and stay empty.
The Audio Spectrogram Transformer, whose recipe this is, keeps them as constant rows.
With 80 bins the result equals that of kaldi-native-fbank (see test_filter_banks.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

PREEMPHASIS = 0.97
LOWEST_HZ = 20.0
"""Defaults of Kaldi's ``compute-fbank-feats``."""
MIN_ENERGY = np.float32(np.finfo(np.float32).eps)
"""Kaldi's floor under the logarithm."""


@dataclass(frozen=True)
class FilterBanks:
    """The filter banks of one sampling rate.

    Attributes:
        rate_hz: The number of samples per second.
        mel_bins: The number of bins between 20 Hz and half the rate.
        length_s: The length of a frame in seconds.
        shift_s: The distance between the starts of two frames in seconds.
    """

    rate_hz: int
    mel_bins: int
    length_s: float = 0.025
    shift_s: float = 0.010

    @property
    def length(self) -> int:
        """The number of samples in a frame."""
        return round(self.length_s * self.rate_hz)

    @property
    def shift(self) -> int:
        """The number of samples between the starts of two frames."""
        return round(self.shift_s * self.rate_hz)

    def frames(self, samples: int) -> int:
        """Return the number of whole frames in a number of samples."""
        return 0 if samples < self.length else 1 + (samples - self.length) // self.shift

    def __call__(
        self, waveform: FloatArray, start: int = 0, count: int | None = None
    ) -> FloatArray:
        """Return the log energies (count, mel_bins) of ``count`` frames, starting at ``start``."""
        windows = np.lib.stride_tricks.sliding_window_view(waveform, self.length)[:: self.shift]
        frames = windows[start : None if count is None else start + count]
        frames = frames - frames.mean(axis=1, keepdims=True)
        before = np.concatenate((frames[:, :1], frames[:, :-1]), axis=1)
        shaped = (frames - np.float32(PREEMPHASIS) * before) * _hanning(self.length)
        size = 1 << (self.length - 1).bit_length()
        spectrum = np.fft.rfft(shaped, size)
        power = spectrum.real**2 + spectrum.imag**2
        energies = power @ _mel_weights(self.rate_hz, size, self.mel_bins)
        return np.log(np.maximum(energies, MIN_ENERGY)).astype(np.float32, copy=False)


@lru_cache(maxsize=8)
def _hanning(length: int) -> FloatArray:
    return np.hanning(length).astype(np.float32)


def _mel(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1127.0 * np.log1p(hertz / 700.0)


@lru_cache(maxsize=8)
def _mel_weights(rate_hz: int, size: int, bins: int) -> FloatArray:
    """Return triangular weights on the mel scale, (size / 2 + 1, bins)."""
    frequencies = _mel(np.arange(size // 2 + 1, dtype=np.float64) * (rate_hz / size))[:, None]
    low, high = _mel(np.array([LOWEST_HZ, rate_hz / 2], np.float64))
    edges = np.linspace(low, high, bins + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies - left) / (centre - left)
    falling = (right - frequencies) / (right - centre)
    weights: FloatArray = np.maximum(np.minimum(rising, falling), 0.0).astype(np.float32)
    return weights
