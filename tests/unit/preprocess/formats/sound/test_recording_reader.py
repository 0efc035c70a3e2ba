from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.sound.recording_reader import MAX_CHANNELS, RecordingReader
from omnivec2.preprocess.formats.sound.sound_file import Block, SoundFile
from omnivec2.spec import Limits

RATE = 8_000
READER = RecordingReader(Limits(seconds=1.0, decoded_bytes=4 * RATE))


def sound(frames: int, stated: int | None = None, channels: int = 2) -> SoundFile:
    """Return a file that states a length and has blocks of another one, in full scale."""

    def blocks() -> Iterator[Block]:
        for start in range(0, frames, 1000):
            yield np.ones((min(1000, frames - start), channels), np.float32)

    return SoundFile(RATE, channels, stated, floats=False, blocks=blocks)


def test_channels_are_mixed_to_one() -> None:
    assert np.array_equal(READER.read_mono(sound(1500, 1500), RATE), np.ones(1500, np.float32))


def test_a_file_that_is_longer_than_it_states_is_refused_while_it_is_read() -> None:
    with pytest.raises(TooLargeError, match="longer than 1 seconds"):
        READER.read_mono(sound(RATE + 1, stated=100), RATE)


@pytest.mark.parametrize(("frames", "complete"), [(97, False), (98, True)])
def test_a_file_is_truncated_if_more_is_missing_than_encoders_round(
    frames: int, complete: bool
) -> None:
    if complete:
        assert len(READER.read_mono(sound(frames, stated=100), RATE)) == frames
        return
    with pytest.raises(UndecodableError, match="97 of 100 samples"):
        READER.read_mono(sound(frames, stated=100), RATE)


def test_a_file_without_samples_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no samples"):
        READER.read_mono(sound(0), RATE)


def test_impossible_rates_and_too_many_channels_are_refused() -> None:
    READER.check_header(RATE, MAX_CHANNELS)
    with pytest.raises(InvalidInputError, match="expected 4,000 to 384,000"):
        READER.check_header(1, 1)
    with pytest.raises(TooLargeError, match=f"{MAX_CHANNELS + 1} channels"):
        READER.check_header(RATE, MAX_CHANNELS + 1)
    with pytest.raises(TooLargeError, match="bytes when decoded"):
        RecordingReader(Limits(decoded_bytes=100)).check_length(26, RATE)
