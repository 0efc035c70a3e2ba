from __future__ import annotations

import contextlib
import struct

import pytest

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.formats.sound import streamed_headers
from omnivec2.preprocess.notes import NoteCode, collect_notes
from tests.support.sample_files.sounds import tones, written

SIZES = {"AU": (b".snd", 8, ">I"), "CAF": (b"data", 4, ">Q")}
MENDERS = {
    "AU": streamed_headers.au_with_true_size,
    "CAF": streamed_headers.caf_with_true_size,
    "AIFF": streamed_headers.whole_aiff,
    "W64": streamed_headers.whole_w64,
}


def whole(kind: str) -> bytes:
    return written(tones(0.1), kind=kind, subtype="PCM_16")


@pytest.mark.parametrize("kind", MENDERS)
def test_whole_files_are_left_alone_and_cut_ones_are_truncated(kind):
    with collect_notes() as notes:
        assert MENDERS[kind](whole(kind)) == whole(kind)
    assert len(notes) == 0
    for length in (10, 1_000):
        with pytest.raises(UndecodableError, match=f"{kind} is truncated"):
            MENDERS[kind](whole(kind)[:-length])


@pytest.mark.parametrize(
    ("kind", "size"), [("AU", 0), ("AU", 0x7FFFFFFF), ("CAF", 0), ("CAF", 2**64 - 1)]
)
def test_sizes_that_streaming_left_open_are_filled_in(kind, size):
    name, offset, form = SIZES[kind]
    data = bytearray(whole(kind))
    struct.pack_into(form, data, data.find(name) + offset, size)
    mended = MENDERS[kind](bytes(data))
    assert len(mended) == len(data)
    assert mended != data


@pytest.mark.parametrize("kind", ["AIFF", "W64"])
def test_what_lies_behind_the_end_is_cut_off_and_noted(kind):
    with collect_notes() as notes:
        assert MENDERS[kind](whole(kind) + b"some log") == whole(kind)
    assert [found.code for found in notes] == [NoteCode.IGNORED]


@pytest.mark.parametrize("kind", MENDERS)
def test_headers_that_are_cut_off_are_truncated_or_left_to_the_library(kind):
    for length in (0, 4, 11, 14):
        with contextlib.suppress(UndecodableError):
            assert MENDERS[kind](whole(kind)[:length]) == whole(kind)[:length]
