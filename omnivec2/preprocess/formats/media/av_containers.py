"""Containers opened with FFmpeg's demuxers, for video and sound: which track, and is it whole."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from omnivec2.errors import UndecodableError
from omnivec2.preprocess.formats.guards.decoding_guard import undecodable
from omnivec2.preprocess.formats.media.iso_boxes import check_sample_tables, has_edited_speed
from omnivec2.preprocess.notes import NoteCode, note

_DEMUXERS: Mapping[str, str] = {
    "MP4": "mov",
    "MOV": "mov",
    "M4A": "mov",
    "WebM": "matroska",
    "AVI": "avi",
    "GIF": "gif",
    "MPEG-TS": "mpegts",
    "MPEG-PS": "mpeg",
    "AAC": "aac",
    "AMR": "amr",
    "WMA": "asf",
    "WAV": "wav",
    "W64": "w64",
    "AIFF": "aiff",
    "AU": "au",
    "CAF": "caf",
    "FLAC": "flac",
    "OGG": "ogg",
    "MP3": "mp3",
}
_ISO = "mov"

StreamT = TypeVar("StreamT", AudioStream, VideoStream)


def same_demuxer(first: str, second: str) -> bool:
    """Whether files of two kinds are read alike, so that one may be called the other."""
    return first in _DEMUXERS and _DEMUXERS[first] == _DEMUXERS.get(second)


@contextmanager
def open_container(
    data: bytes | BinaryIO, kind: str, options: Mapping[str, str] | None = None
) -> Iterator[InputContainer]:
    """Open a file with the demuxer of its kind, which never follows addresses to other files.

    Args:
        data: The file; of an open one, which is too large to be in memory, the tables of an MP4
            are not looked at first.
        kind: The name of its container.
        options: The options of FFmpeg's demuxer and decoders.

    Raises:
        TooLargeError: its tables claim too many samples.
        UndecodableError: FFmpeg cannot read it, now or within the ``with`` block.
    """
    demuxer = _DEMUXERS[kind]
    if demuxer == _ISO and isinstance(data, bytes):
        check_sample_tables(data)
        if has_edited_speed(data):
            note(NoteCode.IGNORED, "the speed that the edit list asks for was not applied")
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    with (
        undecodable(kind, FFmpegError),
        av.open(file, mode="r", format=demuxer, options=dict(options or {})) as opened,
    ):
        yield opened


def default_track(tracks: Sequence[StreamT], kind: str, what: str) -> StreamT | None:
    """Return the track that a player would start with, and note that there are others.

    Args:
        tracks: The tracks of one type.
        kind: The container's name, for the note.
        what: The word for the tracks in the note: ``"video"`` or ``"sound"``.

    Returns:
        The first that is marked as the default one, or the first; cover pictures are none.
    """
    playable = [t for t in tracks if not t.disposition & Disposition.attached_pic]
    if not playable:
        return None
    marked = [track for track in playable if track.disposition & Disposition.default]
    chosen = (marked or playable)[0]
    if len(playable) > 1:
        which = "the default one" if marked else "the first"
        note(
            NoteCode.IGNORED,
            f"the {kind} holds {len(playable)} {what} tracks (streams); only {which}, number "
            f"{playable.index(chosen) + 1}, was used",
            count=len(playable) - 1,
        )
    return chosen


def check_all_read(stream: AudioStream | VideoStream, packets: int, kind: str) -> None:
    """Refuse a file that holds fewer packets than its index names.

    Args:
        stream: The stream, after all of it was read.
        packets: The number of packets that were read of it.
        kind: The container's name.

    Raises:
        UndecodableError: some are missing.
    """
    # An edit list shows some samples and not others: the index has only those that are needed.
    # An AVI counts frames that are left out, too, as the frame before is shown on.
    indexed = _DEMUXERS[kind] in (_ISO, _DEMUXERS["AVI"])
    counted = stream.frames if isinstance(stream, VideoStream) else 0  # some count samples
    stated = sum(e.size > 0 for e in stream.index_entries) if indexed else counted
    if packets < stated:
        raise UndecodableError(
            f"the {kind} file is truncated: {packets} of {stated} packets are present",
            field="inputs",
        )
