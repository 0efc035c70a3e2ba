from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.formats.media import whole_files
from omnivec2.preprocess.notes import NoteCode, collect_notes


def box(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def codes(data: bytes, kind: str) -> list[NoteCode]:
    with collect_notes() as notes:
        whole_files.check_whole(data, kind)
    return [found.code for found in notes]


def is_truncated(data: bytes, kind: str) -> bool:
    try:
        whole_files.check_whole(data, kind)
    except UndecodableError as error:
        return "truncated" in str(error)
    return False


INDEX = box(b"moov")


def test_an_mp4_is_whole_if_its_index_is():
    large = struct.pack(">I4sQ", 1, b"mdat", 20) + b"data"
    last = struct.pack(">I4s", 0, b"mdat") + b"up to the end"
    for data in (INDEX + large, INDEX + last, box(b"ftyp") + INDEX):
        assert codes(data, "MP4") == []
    assert is_truncated(box(b"ftyp"), "MOV")
    assert is_truncated(box(b"ftyp") + box(b"moov", b"1234")[:-2], "MP4")
    assert is_truncated(INDEX + box(b"moof", b"1234")[:-2], "MP4")


@pytest.mark.parametrize("behind", [b"2026-11-29 log\n", b"TAG" + b"x" * 125, b"\1\2\3\4\5"])
def test_what_lies_behind_an_mp4_is_noted(behind):
    assert codes(INDEX + box(b"mdat", b"1234") + behind, "MP4") == [NoteCode.IGNORED]


@pytest.mark.parametrize("behind", [b"\n", b"\r\n", bytes(600), b" \t\n"])
@pytest.mark.parametrize("kind", ["MP4", "WebM", "AVI", "GIF"])
def test_empty_space_behind_a_file_is_not_worth_a_note(kind, behind):
    whole = {"MP4": INDEX, "WebM": webm(b"\x82", b"12"), "AVI": avi(), "GIF": gif()}
    assert codes(whole[kind] + behind, kind) == []


def webm(size: bytes, content: bytes = b"") -> bytes:
    return b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67" + size + content


def test_a_webm_is_whole_if_its_segment_is_or_has_no_stated_size():
    for data in (webm(b"\x84", b"1234"), webm(b"\xff"), webm(b"\x80"), webm(b"\x40\x02", b"12")):
        assert codes(data, "WebM") == []
    for data in (b"", webm(b""), webm(b"\x84", b"123"), webm(b"\0"), webm(b"\x01\xff")):
        assert is_truncated(data, "WebM")
    assert codes(webm(b"\x82", b"12345"), "WebM") == [NoteCode.IGNORED]


def avi(size: int = 4) -> bytes:
    return b"RIFF" + struct.pack("<I", size) + b"AVI "


def test_an_avi_is_as_long_as_its_headers_say():
    assert codes(avi(), "AVI") == []
    assert is_truncated(avi()[:-1], "AVI")
    assert codes(avi() + avi().replace(b"AVI ", b"AVIX"), "AVI") == []
    assert codes(avi() + b"some log", "AVI") == [NoteCode.IGNORED]
    for streamed in (0, 0x7FFFF000, 0xFFFFFFFF):
        assert codes(avi(streamed) + b"pictures", "AVI") == []


def gif(frames: int = 2) -> bytes:
    file = io.BytesIO()
    pictures = [Image.linear_gradient("L").rotate(90 * index) for index in range(frames)]
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:])
    return file.getvalue()


def test_a_gif_ends_with_its_end_mark_whatever_lies_behind():
    assert codes(gif(), "GIF") == []
    assert codes(gif() + b"some log;", "GIF") == [NoteCode.IGNORED]
    for length in (6, 12, 20, 900, len(gif()) // 2, len(gif()) - 2):
        assert is_truncated(gif()[:length], "GIF")


def test_a_gif_that_only_lacks_its_end_mark_is_read_and_noted():
    assert codes(gif()[:-1], "GIF") == [NoteCode.REPAIRED]


def test_the_screen_of_a_truncated_gif_has_no_size():
    assert whole_files.gif_size(b"GIF89a\x03\0\x02\0") == (3, 2)
    assert whole_files.gif_size(b"GIF89a") == (0, 0)


def test_streams_that_end_anywhere_are_whole():
    for kind in ("MPEG-TS", "MPEG-PS", "AAC"):
        assert codes(b"anything", kind) == []


def ogg_page(flags: int, content: bytes = b"sound") -> bytes:
    return b"OggS\0" + bytes([flags]) + bytes(20) + bytes([1, len(content)]) + content


def test_an_ogg_is_whole_if_its_last_page_is():
    pages = ogg_page(2) + ogg_page(0) + ogg_page(4)
    assert codes(pages, "OGG") == []
    assert codes(pages + b"TAG of a player", "OGG") == [NoteCode.IGNORED]
    assert is_truncated(pages[:-1], "OGG")
    assert is_truncated(pages[:-20], "OGG")


def test_a_second_recording_in_an_ogg_is_noted():
    one = ogg_page(2) + ogg_page(4)
    assert codes(one + one, "OGG") == [NoteCode.IGNORED]
