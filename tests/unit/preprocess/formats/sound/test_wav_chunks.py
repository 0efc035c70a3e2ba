from __future__ import annotations

import struct

import pytest

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.formats.sound.wav_chunks import codec_tag, with_true_sizes
from omnivec2.preprocess.notes import NoteCode, collect_notes
from tests.support.sample_files.sounds import tones, written

SOUND = struct.pack("<400h", *range(100, 500))


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    return name + struct.pack(order + "I", len(content)) + content + bytes(len(content) % 2)


def wav(
    riff: int | None = None,
    data: int | None = None,
    *,
    before: bytes = b"",
    behind: bytes = b"",
    magic: bytes = b"RIFF",
) -> bytes:
    order = ">" if magic == b"RIFX" else "<"
    sound = chunk(b"data", SOUND, order)
    form = struct.pack(order + "HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
    body = b"WAVE" + before + chunk(b"fmt ", form, order)
    size = len(body) + len(sound) + len(behind) if riff is None else riff
    if data is not None:
        sound = b"data" + struct.pack(order + "I", data) + SOUND
    return magic + struct.pack(order + "I", size) + body + sound + behind


def read(data: bytes) -> tuple[int, bytes, list[NoteCode]]:
    """The size of the sound as it is stated then, the sound, and the notes."""
    with collect_notes() as notes:
        mended = with_true_sizes(data)
    at = mended.find(b"data") + 8
    order = ">" if mended[:4] == b"RIFX" else "<"
    size = struct.unpack_from(order + "I", mended, at - 4)[0]
    return size, mended[at : at + size], [found.code for found in notes]


@pytest.mark.parametrize("magic", [b"RIFF", b"RIFX"])
def test_a_wav_of_right_sizes_is_left_alone(magic):
    for data in (
        wav(magic=magic),
        wav(magic=magic, before=chunk(b"LIST", b"odd")) if magic == b"RIFF" else wav(magic=magic),
    ):
        with collect_notes() as notes:
            assert with_true_sizes(data) is data
        assert len(notes) == 0


@pytest.mark.parametrize(
    "size",
    [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0x7FFFFFDB, 0xFFFFFFD3, 0x7FFFFF00, 2**30],
)
@pytest.mark.parametrize("magic", [b"RIFF", b"RIFX"])
def test_the_sizes_of_streamed_recordings_are_filled_in(size, magic):
    assert read(wav(min(size + 36, 2**32 - 1), size, magic=magic)) == (len(SOUND), SOUND, [])


@pytest.mark.parametrize("riff", [0, 36, None])
def test_a_size_of_zero_in_front_of_sound_is_filled_in_and_noted(riff):
    assert read(wav(riff, 0)) == (len(SOUND), SOUND, [NoteCode.REPAIRED])


def test_a_size_that_was_never_updated_is_filled_in_and_noted():
    assert read(wav(136, 100)) == (len(SOUND), SOUND, [NoteCode.REPAIRED])


def test_streamed_silence_is_sound():
    data = wav(0xFFFFFFFF, 0)
    zeros = data[: -len(SOUND)] + bytes(800)
    assert read(zeros)[0] == 800


def test_an_empty_wav_stays_empty():
    empty = wav(36, 0)[: -len(SOUND)]
    assert with_true_sizes(empty) == empty
    tagged = empty + chunk(b"LIST", b"INFOISFT")
    assert with_true_sizes(tagged) == tagged


@pytest.mark.parametrize("length", [1, 2, 400, 799])
def test_a_wav_shorter_than_its_sound_is_truncated(length):
    with pytest.raises(UndecodableError, match=f"truncated: {800 - length} of 800 bytes"):
        with_true_sizes(wav()[:-length])


def test_a_wav_without_sound_says_so():
    for data in (b"RIFF\x04\0\0\0WAVE", wav()[:30], b"RIFF"):
        with pytest.raises(UndecodableError, match="no data chunk"):
            with_true_sizes(data)


def test_chunks_behind_the_sound_are_no_rest_even_if_they_are_cut():
    tags = chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 4) + b"text") + chunk(b"id3 ", b"tags")
    for behind in (tags, tags[:-3], tags + bytes(30)):
        assert read(wav(behind=behind)) == (len(SOUND), SOUND, [])


def test_what_else_lies_behind_the_sound_is_noted():
    assert read(wav(behind=b"log of 2026")) == (len(SOUND), SOUND, [NoteCode.IGNORED])
    assert read(wav() + wav()) == (len(SOUND), SOUND, [NoteCode.IGNORED])
    assert read(wav(behind=b"\n")) == (len(SOUND), SOUND, [])


def test_a_pad_byte_that_is_missing_hides_no_chunk():
    odd = b"LIST" + struct.pack("<I", 3) + b"odd"
    assert read(wav(before=odd))[1] == SOUND


def test_the_long_sizes_of_rf64_are_read_and_bw64_gets_its_name():
    plain = written(tones(0.1), kind="RF64", subtype="PCM_16")
    assert with_true_sizes(plain)[:4] == b"RF64"
    assert with_true_sizes(b"BW64" + plain[4:]) == with_true_sizes(plain)
    with pytest.raises(UndecodableError, match="truncated"):
        with_true_sizes(plain[:-9])
    at = plain.find(b"ds64") + 16
    streamed = plain[:at] + b"\xff" * 8 + plain[at + 8 :]
    assert with_true_sizes(streamed)[:4] == b"RIFF"


def test_the_codec_is_told():
    assert codec_tag(wav()) == 1
    assert codec_tag(wav(magic=b"RIFX")) == 1
    assert codec_tag(b"RIFF") is None
