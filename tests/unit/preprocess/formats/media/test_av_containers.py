from __future__ import annotations

from typing import Any

import pytest
from av.stream import Disposition

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.formats.media.av_containers import (
    default_track,
    open_container,
    same_demuxer,
)
from omnivec2.preprocess.notes import NoteCode, collect_notes
from tests.support.sample_files.clips import clip, with_edits


class Track:
    def __init__(self, disposition: Disposition = Disposition(0)) -> None:  # noqa: B008
        self.disposition = disposition


PLAIN, DEFAULT = Track(), Track(Disposition.default)
COVER = Track(Disposition.attached_pic)


def chosen(*tracks: Any) -> tuple[Any, list[NoteCode]]:
    with collect_notes() as notes:
        return default_track(tracks, "MP4", "video"), [found.code for found in notes]


def test_the_default_track_is_chosen_and_the_others_are_noted():
    assert chosen(PLAIN, DEFAULT) == (DEFAULT, [NoteCode.IGNORED])
    assert chosen(DEFAULT, PLAIN) == (DEFAULT, [NoteCode.IGNORED])
    other = Track()
    assert chosen(other, PLAIN) == (other, [NoteCode.IGNORED])


def test_cover_pictures_are_no_tracks():
    assert chosen(COVER, PLAIN) == (PLAIN, [])
    assert chosen(COVER) == (None, [])
    assert chosen() == (None, [])


def test_kinds_of_one_demuxer_may_be_called_each_other():
    assert same_demuxer("MP4", "MOV")
    assert same_demuxer("MP4", "M4A")
    assert not same_demuxer("MP4", "WebM")
    assert not same_demuxer("PNG", "PNG")


def test_an_edited_speed_is_noted():
    with collect_notes() as notes, open_container(with_edits(clip(10), [(4, 2)], speed=2), "MP4"):
        pass
    assert [found.code for found in notes] == [NoteCode.IGNORED]


def test_what_ffmpeg_cannot_read_is_undecodable():
    with (
        pytest.raises(UndecodableError, match="not a readable AVI"),
        open_container(b"RIFF\4\0\0\0AVI ", "AVI"),
    ):
        pass
