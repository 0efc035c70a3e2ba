from __future__ import annotations

import pytest

from omnivec2.preprocess.formats.media.mpeg_frames import mpeg_samples, mpeg_start

FRAME = b"\xff\xfb\x90\x00" + bytes(413)
"""128 kbit/s at 44,100 Hz: 144 x 128,000 / 44,100 = 417 bytes of 1,152 samples."""


def test_frames_are_found_behind_a_piece_of_another():
    assert mpeg_start(FRAME * 3) == 0
    assert mpeg_start(bytes(100) + FRAME * 3) == 100
    assert mpeg_start(FRAME[200:] + FRAME * 3) == 217


def test_a_single_sync_word_is_chance():
    assert mpeg_start(FRAME) is None
    assert mpeg_start(FRAME[:-1] * 3) is None
    assert mpeg_start(b"\xff" * 500) is None
    assert mpeg_start(b"") is None


@pytest.mark.parametrize(
    ("head", "length", "samples"),
    [
        (b"\xff\xfb\x92\x00", 418, 1152),  # padded
        (b"\xff\xf3\x80\x00", 208, 576),  # version 2: 72 x 64,000 / 22,050
        (b"\xff\xe3\x80\x00", 417, 576),  # version 2.5: 72 x 64,000 / 11,025
        (b"\xff\xfd\x80\x00", 417, 1152),  # layer 2: 144 x 128,000 / 44,100
        (b"\xff\xff\x40\x00", 136, 384),  # layer 1: 4 x (12 x 128,000 / 44,100)
    ],
)
def test_the_samples_of_frames_are_counted(head, length, samples):
    assert mpeg_samples((head + bytes(length - 4)) * 5, 0) == 5 * samples


@pytest.mark.parametrize("head", [b"\xff\xeb\x90\x00", b"\xff\xfb\xf0\x00", b"\xff\xfb\x9c\x00"])
def test_headers_of_reserved_values_are_none(head):
    assert mpeg_samples(head + bytes(500), 0) == 0
