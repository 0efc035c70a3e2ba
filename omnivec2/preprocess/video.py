"""Video -> a few frames spread evenly over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image
from pydantic import JsonValue

from omnivec2.errors import (
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess.base import (
    Array,
    Parameters,
    Prepared,
    Preprocessor,
    input_shape,
)
from omnivec2.preprocess.formats import example_files
from omnivec2.preprocess.formats.guards.decoding_guard import check_pixels, format_of
from omnivec2.preprocess.formats.media import video_frames
from omnivec2.preprocess.formats.media.av_containers import (
    default_track,
    open_container,
    same_demuxer,
)
from omnivec2.preprocess.formats.media.frame_sampling import uniform_frames
from omnivec2.preprocess.formats.media.frame_times import FrameTimes, frame_times, read_packets
from omnivec2.preprocess.formats.media.media_signatures import container_of, unsupported_format
from omnivec2.preprocess.formats.media.whole_files import check_whole, gif_size
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.random_pictures import random_pictures
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

Frames = npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]

PIECE_SECONDS = 10.0
"""The least length of the pieces that a long video is cut into."""

EVEN_LEVELS = 4
"""The range of levels, of 256, up to which a picture is even: compression leaves a few."""


class VideoParameters(Parameters):
    """Frozen parameters of the video preprocessor."""

    frames: int = 8
    height: int = 96
    width: int = 128
    resize: raster.ResizeMode = "stretch"


@dataclass(frozen=True)
class Clip:
    """The frames of a video that the network will see.

    Attributes:
        frames: A uint8 array (frames, height, width, 3), upright, of the network's size.
        size: The (width, height) of the original, upright.
        seconds: The time for which it is shown; None if it is not known.
    """

    frames: npt.NDArray[np.uint8]
    size: tuple[int, int]
    seconds: float | None = None


class VideoPreprocessor(Preprocessor[VideoParameters, Clip | Frames]):
    """A recording -> ``frames`` pictures, shown in the middles of equal parts of its time."""

    modality = Modality.VIDEO
    media_types: ClassVar[dict[str, str]] = {
        "video/mp4": "MP4",
        "video/x-m4v": "MP4",
        "video/3gpp": "MP4",
        "video/3gpp2": "MP4",
        "application/mp4": "MP4",
        "video/quicktime": "MOV",
        "video/webm": "WebM",
        "video/x-matroska": "WebM",
        "video/x-msvideo": "AVI",
        "video/avi": "AVI",
        "video/msvideo": "AVI",
        "video/vnd.avi": "AVI",
        "image/gif": "GIF",
        "video/mp2t": "MPEG-TS",
        "video/vnd.dlna.mpeg-tts": "MPEG-TS",
        "video/mpeg": "MPEG-PS",
        "video/mp2p": "MPEG-PS",
    }
    parameters_type = VideoParameters
    default_limits = Limits(bytes=64 * 2**20, pixels=9_000_000, seconds=120.0, frames=7_200)

    @property
    def piece_seconds(self) -> float:
        """About the length of the clips that heads are trained on; a piece ends at a key frame."""
        return min(PIECE_SECONDS, self.limits.seconds or PIECE_SECONDS)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """``frames`` uint8 (frames, height, width, 3), RGB."""
        p = self.parameters
        shape = (p.frames, p.height, p.width, 3)
        return (TensorSpec(name="frames", dtype="uint8", shape=shape),)

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw soft blobs of light with noise on them."""
        shape = (batch, *input_shape(head, "frames"))
        return {"frames": random_pictures(shape, rng)}

    @property
    def json_example(self) -> JsonValue:
        """Two small frames as a base64 GIF."""
        return example_files.clip()

    def sniff(self, data: bytes) -> str | None:
        """Detect the content type by magic bytes."""
        found = container_of(data)
        return next((kind for kind, name in self.media_types.items() if name == found), None)

    def decode(self, data: bytes, media_type: str | None = None) -> Clip:
        """Decode the frames that are needed, skipping all others that can be skipped."""
        kind = self._format(data, media_type)
        check_whole(data, kind)
        if kind == "GIF":  # the demuxer does not pass its header on
            check_pixels(*gif_size(data), self.limits, kind)
        with open_container(data, kind, self._codec_options) as opened:
            return self._read_clip(opened, kind, 2 * len(data) + 2**20)

    def prepare(self, native: Clip | Frames) -> Prepared:
        """Choose frames evenly and resize them.

        Args:
            native: A decoded clip, or uint8 frames (height, width, 3) in their order.
        """
        if not isinstance(native, Clip):
            if len(native) == 0:
                raise InvalidInputError("the video holds no frames", field="inputs")
            height, width = native[0].shape[:2]
            chosen = [native[i] for i in uniform_frames(len(native), self.parameters.frames)]
            native = Clip(np.stack([self._fit(frame) for frame in chosen]), (width, height))
        spread = native.frames.reshape(-1, 3)
        if (np.ptp(spread, axis=0) <= EVEN_LEVELS).all():
            note(NoteCode.EMPTY, "the video shows nothing: every frame is one even colour")
        context: dict[str, object] = {"size": native.size}
        if native.seconds is not None:
            context["seconds"] = native.seconds
        return Prepared([{"frames": native.frames}], context)

    def _fit(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
            raise InvalidInputError(
                f"expected uint8 frames (height, width, 3), got {frame.dtype} {frame.shape}",
                field="inputs",
            )
        p = self.parameters
        return np.asarray(raster.resize(Image.fromarray(frame), (p.width, p.height), p.resize))

    def _format(self, data: bytes, media_type: str | None) -> str:
        found = container_of(data)
        if found not in self.media_types.values():
            what = found or unsupported_format(data)
            if what and (media_type is None or media_type in self.media_types):
                raise UndecodableError(
                    f"unsupported: {what}; expected {self.accepts}; convert it with "
                    "ffmpeg -i INPUT OUTPUT.mp4",
                    field="inputs",
                )
        declared = self.media_types.get(media_type or "")
        # MP4 and MOV differ in a brand that writers often get wrong.
        if found and declared and same_demuxer(found, declared):
            media_type = None
        return format_of(data, self.sniff(data), media_type, self.media_types)

    def _read_clip(self, opened: InputContainer, kind: str, max_bytes: int) -> Clip:
        stream = default_track(opened.streams.video, kind, "video")
        if stream is None:
            cover = " but a cover picture" if opened.streams.video else ""
            sound = "; it is a sound recording" if opened.streams.audio else ""
            raise InvalidInputError(f"the {kind} file holds no video{cover}{sound}", field="inputs")
        self._check_decodable(stream, kind)
        stream.codec_context.thread_count = 1  # requests run side by side already
        stream.codec_context.options = self._codec_options
        packets = read_packets(opened, stream, self.limits, kind, max_bytes)
        video = frame_times(packets, stream, kind)
        self._check_seconds(video, kind)
        wanted = video_frames.choose_frames(video, self.parameters.frames, kind)
        decoded = video_frames.decode(stream, video, wanted.tolist(), kind)
        if not decoded:
            key = "" if packets[0].is_keyframe else "; it holds no key frame"
            raise UndecodableError(f"no frame of the {kind} can be decoded{key}", field="inputs")
        return replace(self._clip(decoded, wanted.tolist()), seconds=video.seconds)

    def _clip(self, decoded: Mapping[int, VideoFrame], wanted: Sequence[int]) -> Clip:
        """Fit the wanted frames; one that did not decode is replaced by the nearest."""
        size = (0, 0)
        frames: dict[int, npt.NDArray[np.uint8]] = {}
        for number, frame in decoded.items():
            pixels = video_frames.upright(frame)
            size = (pixels.shape[1], pixels.shape[0])
            frames[number] = self._fit(pixels)
        if damaged := sum(frame.is_corrupt for frame in decoded.values()):
            note(NoteCode.REPAIRED, "frames are damaged, and were used all the same", count=damaged)
        if any(frame.color_trc in video_frames.HDR_TRANSFERS for frame in decoded.values()):
            note(
                NoteCode.UNUSUAL,
                "the video is of a high dynamic range (HDR), which was not mapped to that of "
                "other videos: its colours are pale",
            )
        nearest = [min(frames, key=partial(_distance, number)) for number in wanted]
        if lost := len(set(wanted) - set(frames)):
            note(
                NoteCode.REPAIRED,
                "frames that could not be decoded were replaced by others",
                count=lost,
            )
        return Clip(np.stack([frames[number] for number in nearest]), size)

    @property
    def _codec_options(self) -> dict[str, str]:
        return {"max_pixels": str(self.limits.pixels)} if self.limits.pixels else {}

    def _check_decodable(self, stream: VideoStream, kind: str) -> None:
        if stream.codec_context is None:
            raise UnsupportedMediaTypeError(
                f"unsupported: the codec of the {kind}; convert it with ffmpeg -i INPUT OUTPUT.mp4"
            )
        check_pixels(stream.width, stream.height, self.limits, kind)

    def _check_seconds(self, video: FrameTimes, kind: str) -> None:
        seconds = self.limits.seconds
        if seconds is not None and video.seconds > seconds:
            raise TooLargeError(
                f"the {kind} lasts {video.seconds:,.1f} seconds; "
                f"the limit (seconds) is {seconds:g}",
                field="inputs",
            )


def _distance(first: int, second: int) -> int:
    return abs(first - second)


PREPROCESSOR = VideoPreprocessor
