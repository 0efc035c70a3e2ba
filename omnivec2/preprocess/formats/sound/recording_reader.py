"""Recordings read into one channel, within the limits on their length, rate and channels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.sound.sound_file import SoundFile
from omnivec2.preprocess.formats.sound.sound_levels import Mixer, Samples
from omnivec2.spec import Limits

LOWEST_RATE_HZ = 4_000
HIGHEST_RATE_HZ = 384_000
MAX_CHANNELS = 16

MIN_DECODED_SHARE = 0.98
"""Share of the stated samples below which a file is truncated; encoders round a little."""


class RecordingReader:
    """Reads recordings, and refuses what is larger than the limits of a head.

    Args:
        limits: The limits of the head.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def check_header(self, rate_hz: int, channels: int) -> None:
        """Check the sampling rate and the number of channels.

        Raises:
            InvalidInputError: The sampling rate is none of a recording.
            TooLargeError: There are too many channels.
        """
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
            raise InvalidInputError(
                f"{rate_hz:,} samples per second; expected {LOWEST_RATE_HZ:,} to "
                f"{HIGHEST_RATE_HZ:,}; state sample_rate among the parameters if it is another",
                field="sample_rate",
            )
        if channels > MAX_CHANNELS:
            raise TooLargeError(f"{channels} channels; at most {MAX_CHANNELS} are accepted")

    def check_length(self, frames: int, rate_hz: int) -> None:
        """Check a number of samples per channel, stated or counted.

        Raises:
            TooLargeError: They are too many.
        """
        seconds = self._limits.seconds
        if seconds is not None and frames > seconds * rate_hz:
            raise TooLargeError(f"audio lasts longer than {seconds:g} seconds", field="inputs")
        if frames * 4 > self._limits.decoded_bytes:
            raise TooLargeError(
                f"audio is larger than {self._limits.decoded_bytes:,} bytes when decoded",
                field="inputs",
            )

    def read_mono(self, sound: SoundFile, rate_hz: int) -> Samples:
        """Read a file to its end and mix its channels, float32 (samples,).

        Args:
            sound: The file.
            rate_hz: The number of samples per second, which the request may have stated.

        Raises:
            UndecodableError: The file is truncated.
            InvalidInputError: It holds no samples.
            TooLargeError: It is longer than the limits, whatever its header states.
        """
        mixer = Mixer(sound.channels)
        mono = self._collect(sound, rate_hz, mixer.add)
        instead = mixer.instead()
        if instead is None:
            return mono
        return self._collect(sound, rate_hz, lambda block: block[:, instead])

    def _collect(
        self, sound: SoundFile, rate_hz: int, one_channel: Callable[[Samples], Samples]
    ) -> Samples:
        parts: list[Samples] = []
        frames = 0
        for block in sound.blocks():
            frames += len(block)
            # The header may leave the length out or state a wrong one: count while reading.
            self.check_length(frames, rate_hz)
            parts.append(one_channel(block))
        stated = sound.stated_frames or 0
        if frames < MIN_DECODED_SHARE * stated:
            raise UndecodableError(
                f"audio is truncated: {frames:,} of {stated:,} samples are present",
                field="inputs",
            )
        if not frames:
            raise InvalidInputError("audio holds no samples", field="inputs")
        return np.concatenate(parts)
