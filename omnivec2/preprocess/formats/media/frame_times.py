"""When each frame of a video is shown, read from the compressed frames without decoding them.

Frames are stored in the order in which they are decoded and shown in that of their time stamps.
A player shows a frame from its own time to that of the next, so that evenly spaced times find
the frames of a constant rate by counting, and those of a phone's varying rate by their stamps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.guards.decoding_guard import check_frames
from omnivec2.preprocess.formats.media.av_containers import check_all_read
from omnivec2.preprocess.formats.media.frame_sampling import uniform_frames
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import Limits

Packet: TypeAlias = "av.Packet[VideoStream]"
Times = npt.NDArray[np.float64]

BROADCAST = ("MPEG-TS", "MPEG-PS")
"""Containers that are recorded from a running broadcast: they start, end and break anywhere."""

WITHOUT_STAMPS = ("AVI",)
"""Containers that only count frames in the order of decoding; FFmpeg guesses the rest."""

_LARGEST_STEP_S = 10.0
"""A larger step of a broadcast's time stamps is a splice, after which the clock starts anew."""

_STEADY_SHARE = 0.5
"""Frames less than this share of a frame off a constant rate are counted rather than timed."""


@dataclass(frozen=True)
class FrameTimes:
    """The frames of a video and their times.

    Attributes:
        packets: The compressed frames in the order of decoding, from the first key frame on.
        order: The positions in ``packets`` of the frames that are shown, in the order of display.
        times: The seconds at which these frames appear.
        end: The second at which the last one disappears.
        stamped: Whether decoded frames are known by their time stamps; else by their order.
        reordered: Whether the order of display is another than that of decoding.
        pixels: The declared width x height.
    """

    packets: Sequence[Packet]
    order: npt.NDArray[np.int64]
    times: Times
    end: float
    stamped: bool
    reordered: bool
    pixels: int

    @property
    def seconds(self) -> float:
        """The time for which the video is shown."""
        return float(self.end - self.times[0])

    def evenly(self, count: int) -> npt.NDArray[np.int64]:
        """Return the frames shown in the middle of each of ``count`` equal parts of the time."""
        shown = len(self.times)
        steady = np.linspace(self.times[0], self.end, shown, endpoint=False)
        # Stamps are rounded to ticks, so that a constant rate is not quite constant.
        if np.abs(self.times - steady).max() < _STEADY_SHARE * self.seconds / shown or shown == 1:
            return uniform_frames(shown, count)
        middles = self.times[0] + (np.arange(count) + 0.5) * self.seconds / count
        found: npt.NDArray[np.int64] = np.searchsorted(self.times, middles, side="right") - 1
        return found


def read_packets(
    opened: InputContainer, stream: VideoStream, limits: Limits, kind: str, max_bytes: int
) -> list[Packet]:
    """Read the compressed frames, in the order of decoding.

    Args:
        opened: The container.
        stream: The video stream.
        limits: The head's limits; ``frames`` is checked while counting.
        kind: The container's name, for messages.
        max_bytes: The largest sum of packet sizes; a container may compress its packets
            once more.

    Raises:
        TooLargeError: there are too many frames or bytes.
        UndecodableError: there are fewer frames than declared, or damaged ones.
        InvalidInputError: there are no frames.
    """
    packets: list[Packet] = []
    size = read = shown = damaged = 0
    for packet in opened.demux(stream):
        read += packet.dts is not None or packet.size > 0
        if not packet.size:  # the frame before is shown on, or the file ends
            continue
        packets.append(packet)
        size += packet.size
        damaged += packet.is_corrupt
        shown += not packet.is_discard  # an edit list may show a part of a long recording
        check_frames(max(shown, 1), limits, kind)
        if size > max_bytes:
            raise TooLargeError(f"the {kind} unpacks to more than it should", field="inputs")
    if damaged and kind not in BROADCAST:
        raise UndecodableError(f"the {kind} file is damaged or truncated", field="inputs")
    if damaged:
        note(NoteCode.REPAIRED, f"packets of the {kind} are damaged", count=damaged)
    check_frames(shown, limits, kind)
    check_all_read(stream, read, kind)
    return packets


def frame_times(packets: Sequence[Packet], stream: VideoStream, kind: str) -> FrameTimes:
    """Tell when each frame is shown; frames that cannot be or should not be are left out.

    Left out are those that an edit list hides, those before the first key frame, and those that
    follow it but are shown before it, as they need a group of pictures that is not there.

    Args:
        packets: The compressed frames, from :func:`read_packets`.
        stream: The video stream.
        kind: The container's name, for notes.

    Raises:
        InvalidInputError: no frame is left.
    """
    packets = _from_first_key_frame(packets, kind)
    tick = float(stream.time_base or 0) or 1.0
    shown = [at for at, packet in enumerate(packets) if not packet.is_discard]
    stamps = [packets[at].pts for at in shown]
    known = [stamp for stamp in stamps if stamp is not None]
    if kind in BROADCAST:
        known = _without_splices(packets, shown, round(_LARGEST_STEP_S / tick))
    stamped = kind not in WITHOUT_STAMPS and len(set(known)) == len(shown)
    if stamped:
        order = np.array(shown, np.int64)[np.argsort(known)]
        times = np.sort(np.array(known, np.float64)) * tick
        first = packets[0].pts
        late = 0 if first is None else int(np.searchsorted(times, first * tick - tick / 2))
        if late and not packets[0].is_discard:
            _note_undecodable(late, kind)
            order, times = order[late:], times[late:]
    else:
        order, times = np.array(shown, np.int64), _counted_times(packets, shown, stream, tick)
    if not len(order):
        raise InvalidInputError(f"the {kind} shows no frames", field="inputs")
    last = packets[int(order[-1])].duration or 0
    step = last * tick or (float(np.median(np.diff(times))) if len(times) > 1 else 1.0)
    reordered, pixels = bool(stream.codec_context.has_b_frames), stream.width * stream.height
    return FrameTimes(packets, order, times, float(times[-1]) + step, stamped, reordered, pixels)


def _from_first_key_frame(packets: Sequence[Packet], kind: str) -> Sequence[Packet]:
    """Leave out the packets before the first key frame; without any, the decoder has to see."""
    first = next((at for at, packet in enumerate(packets) if packet.is_keyframe), 0)
    if first:
        _note_undecodable(first, kind)
    return packets[first:]


def _note_undecodable(count: int, kind: str) -> None:
    note(
        NoteCode.DROPPED,
        f"the {kind} starts between key frames: frames before the first key frame are missing "
        "what they build on, and were left out",
        count=count,
    )


def _counted_times(
    packets: Sequence[Packet], shown: Sequence[int], stream: VideoStream, tick: float
) -> Times:
    """Return times in the order of decoding, whose steps are those of display too."""
    stamps = [packets[at].dts for at in shown]
    if None not in stamps:
        times = np.array(stamps, np.float64) * tick
        if (np.diff(times) > 0).all():
            return times
    rate = float(stream.average_rate or 0) or 25.0
    return np.arange(len(shown)) / rate


def _without_splices(packets: Sequence[Packet], shown: Sequence[int], most: int) -> list[int]:
    """Let the clock of a broadcast run on where it jumps; the packets get the new stamps.

    Args:
        packets: The compressed frames.
        shown: The positions of those that are shown.
        most: The largest step, in ticks, that is not a jump.
    """
    shift, before, step, jumps = 0, None, 0, 0
    known = []
    for at in shown:
        packet = packets[at]
        if packet.dts is not None:
            if before is not None and not 0 < packet.dts - before <= most:
                shift += before + step - packet.dts
                jumps += 1
            elif before is not None:
                step = packet.dts - before
            before = packet.dts
        if packet.pts is not None:
            packet.pts += shift
            known.append(packet.pts)
    if jumps:
        note(NoteCode.REPAIRED, "the time stamps jump; the video was read as if they ran on",
             count=jumps)  # fmt: skip
    return known
