"""The scale of samples, silence, and channels that cancel each other out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.notes import NoteCode, note

Samples = npt.NDArray[np.float32]

LOUDEST_FLOAT = 8.0
"""Floating point audio lies in -1..1; mixing may exceed that by some 18 dB, but not by more."""

_UNUSUAL_FLOAT = 1.5
_FULL_SCALES = (2.0**15, 2.0**23, 2.0**31)
"""Full scale of 16, 24 and 32-bit integers, which are often saved as floats without scaling."""

_UNSIGNED_SCALE = 128.0
_UNSIGNED_MEANS = (96.0, 160.0)

SILENCE = 1e-4
"""The largest sample, once the mean is removed, of a silent recording: -80 dB, or the noise of a
converter of 16 bits."""

_CANCELLED_SHARE = 0.1
"""The power that is left of a mix, of what unrelated channels would leave, where they cancel."""


def to_full_scale(samples: Samples, *, stated: bool = False) -> Samples:
    """Bring samples to -1..1, where they plainly are integers saved as floats.

    Args:
        samples: One channel.
        stated: Whether the caller has stated the scale, which has been applied.

    Returns:
        The samples; the same array where they are in -1..1 already.

    Raises:
        InvalidInputError: some are not finite, or beyond every scale.
    """
    peak = float(np.abs(samples).max()) if samples.size else 0.0
    if not np.isfinite(peak) or peak > (LOUDEST_FLOAT if stated else _FULL_SCALES[-1]):
        raise InvalidInputError(
            "audio holds samples that are not finite numbers in -1..1", field="inputs"
        )
    if peak <= LOUDEST_FLOAT:
        if peak > _UNUSUAL_FLOAT:
            note(
                NoteCode.UNUSUAL,
                f"samples reach {peak:.3g}, beyond the full scale of 1: state scale among the "
                "parameters if it is another",
            )
        return samples
    if _are_unsigned(samples):
        _note_scale("0 to 255, as unsigned bytes do", "brought from there to -1..1")
        return (samples - np.float32(_UNSIGNED_SCALE)) / np.float32(_UNSIGNED_SCALE)
    full = next(full for full in _FULL_SCALES if peak <= full)
    _note_scale(f"{peak:,.0f}, as integers do", f"divided by {full:,.0f}")
    return samples / np.float32(full)


def _note_scale(range_words: str, done: str) -> None:
    note(
        NoteCode.GUESSED,
        f"samples reach {range_words}, beyond the range of -1..1: they were {done}; state the full "
        "scale as scale among the parameters",
    )


def _are_unsigned(samples: Samples) -> bool:
    low, high = _UNSIGNED_MEANS
    return (
        float(samples.min()) >= 0
        and float(samples.max()) < 2 * _UNSIGNED_SCALE
        and low < float(samples.mean()) < high
    )


def report_silence(samples: Samples) -> None:
    """Make a note if a recording, whose mean was removed, holds nothing to hear."""
    if samples.size and float(np.abs(samples).max()) < SILENCE:
        note(NoteCode.EMPTY, "the recording is silent: its samples are zero, or all but constant")


class Mixer:
    """Mixes channels to one, block by block, and watches whether they cancel each other out.

    Of two sides of opposite phase, as from a microphone that is wired the wrong way, the mean is
    silence although either can be heard.
    """

    def __init__(self, channels: int) -> None:
        self._frames = 0
        self._sums = np.zeros((2, channels + 1))
        """Of each channel, and of the mix: the sum of the samples, and of their squares."""

    def add(self, block: Samples) -> Samples:
        """Mix a block (frames, channels) to its mean (frames)."""
        mono: Samples = block.mean(axis=1)
        if block.shape[1] > 1:
            self._frames += len(block)
            both = np.column_stack([block, mono])
            self._sums[0] += both.sum(axis=0, dtype=np.float64)
            self._sums[1] += np.square(both, dtype=np.float64).sum(axis=0)
        return mono

    def instead(self) -> int | None:
        """Return the channel to use instead of the mix, which is noted; None if the mix is fine."""
        if not self._frames:
            return None
        means, squares = self._sums / self._frames
        *channels, mix = np.maximum(squares - means**2, 0.0)
        expected = float(np.mean(channels)) / len(channels)
        if not np.isfinite(expected) or expected < SILENCE**2 or mix > _CANCELLED_SHARE * expected:
            return None
        loudest = int(np.argmax(channels))
        note(
            NoteCode.REPAIRED,
            f"the channels are of opposite phase and cancel each other out; only channel "
            f"{loudest + 1} was used",
        )
        return loudest


def mixed(samples: Samples) -> Samples:
    """Mix an array (frames) or (frames, channels) to one channel (frames)."""
    if samples.ndim == 1:
        return samples
    mixer = Mixer(samples.shape[1])
    mono = mixer.add(samples)
    instead = mixer.instead()
    return mono if instead is None else np.ascontiguousarray(samples[:, instead])
