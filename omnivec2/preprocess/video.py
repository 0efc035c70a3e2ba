"""Video -> a few frames spread evenly over it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from PIL import Image
from pydantic import JsonValue

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.base import (
    Array,
    Parameters,
    Prepared,
    Preprocessor,
    input_shape,
)
from omnivec2.preprocess.formats import example_files
from omnivec2.preprocess.formats.guards.decoding_guard import (
    check_frames,
    check_pixels,
    format_of,
    undecodable,
)
from omnivec2.preprocess.formats.media import video_container, video_frames
from omnivec2.preprocess.formats.media.frame_sampling import uniform_frames
from omnivec2.preprocess.formats.pictures import raster
from omnivec2.preprocess.formats.pictures.random_pictures import random_pictures
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

Frames = npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]

_DEMUXERS = {"MP4": "mov", "MOV": "mov", "WebM": "matroska", "AVI": "avi", "GIF": "gif"}
_MICROSECONDS = 1e6


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
    """

    frames: npt.NDArray[np.uint8]
    size: tuple[int, int]


class VideoPreprocessor(Preprocessor[VideoParameters, Clip | Frames]):
    """MP4, MOV, WebM, AVI or GIF -> ``frames`` pictures, one per equal part of the clip."""

    modality = Modality.VIDEO
    media_types: ClassVar[dict[str, str]] = {
        "video/mp4": "MP4",
        "video/x-m4v": "MP4",
        "application/mp4": "MP4",
        "video/quicktime": "MOV",
        "video/webm": "WebM",
        "video/x-matroska": "WebM",
        "video/x-msvideo": "AVI",
        "video/avi": "AVI",
        "video/msvideo": "AVI",
        "video/vnd.avi": "AVI",
        "image/gif": "GIF",
    }
    parameters_type = VideoParameters
    default_limits = Limits(bytes=64 * 2**20, pixels=9_000_000, seconds=120.0, frames=7_200)

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
        return video_container.sniff(data)

    def decode(self, data: bytes, media_type: str | None = None) -> Clip:
        """Decode the frames that are needed, skipping all others that can be skipped."""
        kind = self._format(data, media_type)
        if not video_container.is_complete(data, kind):
            raise UndecodableError(f"the {kind} file is truncated or damaged", field="inputs")
        if _DEMUXERS[kind] == "mov":
            video_container.check_sample_tables(data)
        if kind == "GIF":  # the demuxer does not pass its header on
            check_pixels(*video_container.gif_size(data), self.limits, kind)
        # A named demuxer never follows a playlist to other files or addresses.
        source, demuxer, options = io.BytesIO(data), _DEMUXERS[kind], self._codec_options
        with (
            undecodable(kind, FFmpegError),
            av.open(source, mode="r", format=demuxer, options=options) as opened,
        ):
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
        return Prepared([{"frames": native.frames}], {"size": native.size})

    def _fit(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
            raise InvalidInputError(
                f"expected uint8 frames (height, width, 3), got {frame.dtype} {frame.shape}",
                field="inputs",
            )
        p = self.parameters
        return np.asarray(raster.resize(Image.fromarray(frame), (p.width, p.height), p.resize))

    def _format(self, data: bytes, media_type: str | None) -> str:
        sniffed = self.sniff(data)
        found, declared = (
            self.media_types.get(sniffed or ""),
            self.media_types.get(media_type or ""),
        )
        # MP4 and MOV differ in a brand that writers often get wrong.
        if found and declared and _DEMUXERS[found] == _DEMUXERS[declared]:
            media_type = sniffed
        return format_of(data, sniffed, media_type, self.media_types)

    def _read_clip(self, opened: InputContainer, kind: str, max_bytes: int) -> Clip:
        if not opened.streams.video:
            raise InvalidInputError(f"the {kind} file holds no video", field="inputs")
        stream = opened.streams.video[0]
        self._check_declared(opened, stream, kind)
        stream.codec_context.thread_count = 1  # requests run side by side already
        stream.codec_context.options = self._codec_options
        groups = video_frames.group_packets(opened, stream, self.limits, kind, max_bytes)
        wanted = video_frames.choose_frames(
            groups, self.parameters.frames, stream.width * stream.height, kind
        )
        frames: dict[video_frames.FramePosition, npt.NDArray[np.uint8]] = {}
        size = (stream.width, stream.height)
        for place, frame in video_frames.decode(stream, groups, wanted, kind):
            pixels = video_frames.upright(frame)
            size = (pixels.shape[1], pixels.shape[0])
            frames[place] = self._fit(pixels)
        if not frames:
            raise UndecodableError(f"no frame of the {kind} can be decoded", field="inputs")
        return Clip(np.stack([frames[_nearest(frames, place)] for place in wanted]), size)

    @property
    def _codec_options(self) -> dict[str, str]:
        return {"max_pixels": str(self.limits.pixels)} if self.limits.pixels else {}

    def _check_declared(self, opened: InputContainer, stream: VideoStream, kind: str) -> None:
        check_pixels(stream.width, stream.height, self.limits, kind)
        check_frames(max(stream.frames, 1), self.limits, kind)
        seconds = (opened.duration or 0) / _MICROSECONDS
        if stream.duration and stream.time_base:
            seconds = max(seconds, float(stream.duration * stream.time_base))
        if self.limits.seconds is not None and seconds > self.limits.seconds:
            raise TooLargeError(
                f"the {kind} declares {seconds:,.1f} seconds; "
                f"the limit (seconds) is {self.limits.seconds:g}",
                field="inputs",
            )


def _nearest(
    frames: Iterable[video_frames.FramePosition], wanted: video_frames.FramePosition
) -> video_frames.FramePosition:
    """Return the decoded frame nearest to a wanted one, which replaces it if it did not decode."""
    return min(frames, key=lambda f: (abs(f.group - wanted.group), abs(f.rank - wanted.rank)))


PREPROCESSOR = VideoPreprocessor
