from __future__ import annotations

import struct

import pytest

from omnivec2.errors import TooLargeError
from omnivec2.preprocess.formats.media import video_container


def test_pcm_sound_may_have_large_tables():
    def box(name: bytes, *content: bytes) -> bytes:
        body = b"".join(content)
        return struct.pack(">I4s", 8 + len(body), name) + body

    def movie(ticks: int) -> bytes:
        times = box(b"stts", struct.pack(">IIII", 0, 1, 5_000_000, ticks))
        sizes = box(b"stsz", struct.pack(">III", 0, 4, 5_000_000))
        return box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", times, sizes)))))

    video_container.check_sample_tables(movie(ticks=1))
    with pytest.raises(TooLargeError):
        video_container.check_sample_tables(movie(ticks=2))
    with pytest.raises(TooLargeError):
        video_container.check_sample_tables(
            movie(ticks=1) + b"stsz" + struct.pack(">III", 0, 4, 5_000_000)
        )
