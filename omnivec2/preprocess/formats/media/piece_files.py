"""The files of a recording's pieces, written one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile
from av.container import OutputContainer
from av.video.stream import VideoStream


class SoundFiles:
    """Writes samples into one file after the other.

    Args:
        directory: The directory of the files.
        rate_hz: The samples per second.
        channels: The channels.

    Attributes:
        frames: The frames in the file that is open.
        all_frames: The frames in all files.
    """

    def __init__(self, directory: Path, rate_hz: int, channels: int) -> None:
        self._directory = directory
        self._format = rate_hz, channels
        self._file: soundfile.SoundFile | None = None
        self._number = 0
        self.frames = self.all_frames = 0

    def write(self, blocks: Sequence[npt.NDArray[np.float32]]) -> None:
        """Add blocks (frames, channels) to the file."""
        if self._file is None:
            name = str(self._directory / f"piece-{self._number:06}.wav")
            self._file = soundfile.SoundFile(name, "w", *self._format, "FLOAT", format="WAV")
            self._number += 1
        for block in blocks:
            self._file.write(block)
            self.frames += len(block)
            self.all_frames += len(block)

    def end(self) -> Path:
        """Close the file, and return its path."""
        assert self._file is not None, "something was written"
        path = Path(self._file.name)
        self._file.close()
        self._file, self.frames = None, 0
        return path


class VideoFiles:
    """Copies the packets of a video into one file after the other.

    Args:
        directory: The directory of the files.
        stream: The video, whose packets come in the order of decoding.

    Attributes:
        all_seconds: The length of what was written to all files.
    """

    def __init__(self, directory: Path, stream: VideoStream) -> None:
        self._directory = directory
        self._stream = stream
        self._tick = float(stream.time_base or Fraction(1, 1000))
        self._number = self._bytes = self._first = 0
        self._container: OutputContainer | None = None
        self._target: VideoStream | None = None
        self.all_seconds = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a file has been begun and not ended."""
        return self._container is not None

    def is_long(self, packet: av.Packet[VideoStream], seconds: float, nbytes: float) -> bool:
        """Whether a key frame should begin another file.

        Args:
            packet: The key frame.
            seconds: The length of a file from which it should.
            nbytes: The size of a file from which it should.
        """
        if self._container is None:
            return False
        is_old = ((packet.dts or 0) - self._first) * self._tick >= seconds
        return is_old or self._bytes > nbytes

    def write(self, packet: av.Packet[VideoStream]) -> None:
        """Add a packet; those before the first key frame show nothing, and are left out."""
        if self._container is None:
            if not packet.is_keyframe:
                return
            path = self._directory / f"piece-{self._number:06}.mkv"
            self._container = av.open(str(path), "w", format="matroska")
            self._target = self._container.add_stream_from_template(self._stream)
            self._number, self._bytes, self._first = self._number + 1, 0, packet.dts or 0
            self._path = path
        assert self._target is not None, "opened with its container"
        self._bytes += packet.size
        self.all_seconds += (packet.duration or 0) * self._tick
        if packet.dts is not None:
            packet.dts -= self._first
        if packet.pts is not None:
            packet.pts -= self._first
        packet.stream = self._target
        self._container.mux(packet)

    def end(self) -> Path:
        """Close the file, and return its path."""
        self.close()
        return self._path

    def close(self) -> None:
        """Close the file, if one is open."""
        if self._container is not None:
            self._container.close()
        self._container = self._target = None
