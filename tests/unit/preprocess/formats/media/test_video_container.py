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


def box(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0AVI ", "video/x-msvideo"),
        (b"\x1a\x45\xdf\xa3", "video/webm"),
        (box(b"ftyp", b"isom"), "video/mp4"),
        (box(b"ftyp", b"qt  "), "video/quicktime"),
        (box(b"wide"), "video/quicktime"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"", None),
    ],
)
def test_containers_are_detected_by_their_first_bytes(data, media_type):
    assert video_container.sniff(data) == media_type


def test_an_mp4_is_complete_if_all_its_boxes_are_and_one_is_the_index():
    index = box(b"moov")
    large = struct.pack(">I4sQ", 1, b"mdat", 20) + b"data"
    last = struct.pack(">I4s", 0, b"mdat") + b"up to the end"
    for data in (index + large, index + last, box(b"ftyp") + index):
        assert video_container.is_complete(data, "MP4")
    for data in (box(b"ftyp"), index + large[:-1], index + box(b"mdat", b"1234")[:-2]):
        assert not video_container.is_complete(data, "MOV")


def test_a_box_smaller_than_its_own_header_ends_the_walk():
    assert not video_container.is_complete(struct.pack(">I4s", 7, b"moov"), "MP4")


def webm(size: bytes, content: bytes = b"") -> bytes:
    return b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67" + size + content


def test_a_webm_is_complete_if_its_segment_is_or_has_no_stated_size():
    for data in (webm(b"\x84", b"1234"), webm(b"\xff"), webm(b"\x80"), webm(b"\x40\x02", b"12")):
        assert video_container.is_complete(data, "WebM")
    for data in (b"", webm(b""), webm(b"\x84", b"123"), webm(b"\0"), webm(b"\x01\xff")):
        assert not video_container.is_complete(data, "WebM")


def test_an_avi_is_as_long_as_its_header_says_and_a_gif_ends_with_a_semicolon():
    avi = b"RIFF" + struct.pack("<I", 4) + b"AVI "
    assert video_container.is_complete(avi, "AVI")
    assert not video_container.is_complete(avi[:-1], "AVI")
    assert video_container.is_complete(b"GIF89a;\0\0", "GIF")
    assert not video_container.is_complete(b"GIF89a", "GIF")


def test_the_screen_of_a_truncated_gif_has_no_size():
    assert video_container.gif_size(b"GIF89a\x03\0\x02\0") == (3, 2)
    assert video_container.gif_size(b"GIF89a") == (0, 0)
