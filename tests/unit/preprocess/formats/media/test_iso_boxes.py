from __future__ import annotations

import struct

import pytest

from omnivec2.errors import TooLargeError, UndecodableError
from omnivec2.preprocess.formats.media import iso_boxes
from tests.support.sample_files.clips import clip, with_edits


def box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name) + body


def movie(ticks: int) -> bytes:
    times = box(b"stts", struct.pack(">IIII", 0, 1, 5_000_000, ticks))
    sizes = box(b"stsz", struct.pack(">III", 0, 4, 5_000_000))
    return box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", times, sizes)))))


def test_pcm_sound_may_have_large_tables():
    iso_boxes.check_sample_tables(movie(ticks=1))
    with pytest.raises(TooLargeError):
        iso_boxes.check_sample_tables(movie(ticks=2))
    with pytest.raises(TooLargeError):
        iso_boxes.check_sample_tables(
            movie(ticks=1) + b"stsz" + struct.pack(">III", 0, 4, 5_000_000)
        )


def test_names_of_tables_within_the_media_data_are_chance():
    table = b"stsz" + struct.pack(">III", 0, 4, 5_000_000)
    iso_boxes.check_sample_tables(box(b"mdat", table) + box(b"moov"))
    with pytest.raises(TooLargeError):
        iso_boxes.check_sample_tables(box(b"mdat", b"1234") + box(b"free", table))


def test_edits_may_not_multiply_the_samples_of_a_file():
    sizes = box(b"stsz", struct.pack(">III", 0, 4, 400_000))
    edits = box(b"elst", struct.pack(">II", 0, 6))
    with pytest.raises(TooLargeError, match="6 edits of 400,000 samples"):
        iso_boxes.check_sample_tables(box(b"moov", sizes, edits))
    iso_boxes.check_sample_tables(box(b"moov", sizes, box(b"elst", struct.pack(">II", 0, 2))))


def test_compressed_tables_are_refused_as_nobody_can_tell_what_they_claim():
    with pytest.raises(UndecodableError, match="unsupported: a QuickTime file with a compressed"):
        iso_boxes.check_sample_tables(box(b"moov", box(b"cmov")))


def test_a_box_smaller_than_its_own_header_ends_the_walk():
    assert list(iso_boxes.boxes(struct.pack(">I4s", 7, b"moov"), 0, 8)) == []


def test_the_speed_of_edits_is_seen():
    data = clip(10)
    assert not iso_boxes.has_edited_speed(with_edits(data, [(4, 2)]))
    assert iso_boxes.has_edited_speed(with_edits(data, [(4, 2)], speed=0.5))
    assert not iso_boxes.has_edited_speed(box(b"moov", box(b"trak", box(b"edts", box(b"elst")))))
