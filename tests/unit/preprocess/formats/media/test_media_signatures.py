from __future__ import annotations

import struct

import pytest

from omnivec2.preprocess.formats.media.media_signatures import (
    container_of,
    id3_end,
    unsupported_format,
)


def box(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def transport_stream(size: int, offset: int = 0) -> bytes:
    return (bytes(offset) + b"\x47" + bytes(size - 1 - offset)) * 12


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"GIF89a", "GIF"),
        (b"RIFF\0\0\0\0AVI ", "AVI"),
        (b"\x1a\x45\xdf\xa3", "WebM"),
        (box(b"ftyp", b"isom"), "MP4"),
        (box(b"ftyp", b"M4A "), "MP4"),
        (box(b"ftyp", b"qt  "), "MOV"),
        (box(b"wide"), "MOV"),
        (transport_stream(188), "MPEG-TS"),
        (transport_stream(188)[77:], "MPEG-TS"),
        (transport_stream(192, 4), "MPEG-TS"),
        (transport_stream(204), "MPEG-TS"),
        (b"\0\0\x01\xba", "MPEG-PS"),
        (b"RIFF\0\0\0\0WAVE", "WAV"),
        (b"RIFX\0\0\0\0WAVE", "WAV"),
        (b"RF64\xff\xff\xff\xffWAVE", "WAV"),
        (b"BW64\xff\xff\xff\xffWAVE", "WAV"),
        (b"FORM\0\0\0\0AIFF", "AIFF"),
        (b"FORM\0\0\0\0AIFC", "AIFF"),
        (b"fLaC", "FLAC"),
        (b"OggS", "OGG"),
        (b".snd", "AU"),
        (b"caff", "CAF"),
        (b"#!AMR\n", "AMR"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"\xff\xf9\x50\x80", "AAC"),
        (b"\xff\xfb\x90\x00", "MP3"),
        (b"\xff\xf3\x90\x00", "MP3"),
        (b"RIFF\0\0\0\0WEBP", None),
        (box(b"ftyp", b"heic"), None),
        (b"", None),
        (b"hello", None),
    ],
)
def test_containers_are_told_by_their_first_bytes(data, name):
    assert container_of(data) == name


def id3(length: int) -> bytes:
    sizes = [length >> shift & 0x7F for shift in (21, 14, 7, 0)]
    return b"ID3\x04\0\0" + bytes(sizes) + bytes(length)


@pytest.mark.parametrize(
    ("behind", "name"),
    [(b"fLaC", "FLAC"), (b"\xff\xf1\x50\x80", "AAC"), (b"\xff\xfb\x90\x00", "MP3"), (b"", "MP3")],
)
def test_tags_in_front_do_not_hide_what_follows(behind, name):
    assert id3_end(id3(300) + behind) == 310
    assert container_of(id3(300) + behind) == name
    assert id3_end(id3(20) + id3(7) + behind) == 47


def test_a_tag_that_is_none_has_no_length():
    assert id3_end(b"ID3\x04\0\0\xff\xff\xff\xff") == 0
    assert id3_end(b"ID3") == 0


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"FLV\x01", "Flash"),
        (b"RIFF\0\0\0\0WEBP", "WebP"),
        (box(b"ftyp", b"avis"), "AVIF sequence"),
        (b"MThd", "MIDI"),
        (b"wvpk", "WavPack"),
        (b"#EXTM3U", "playlist"),
        (b"hello", None),
        (b"", None),
    ],
)
def test_formats_that_nobody_reads_are_named(data, what):
    found = unsupported_format(data)
    assert (found is None) == (what is None)
    assert what is None or what in (found or "")
