"""Audio files -> Kaldi log-mel filter banks.

The recipe is that of the Audio Spectrogram Transformer (Gong et al., 2021): mono,
16 kHz, mean removed, 128 mel bins, 25 ms Hanning windows every 10 ms, no dither.
Normalisation with the AudioSet mean and deviation is in the graph.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
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
from omnivec2.preprocess.formats.media.filter_banks import FilterBanks
from omnivec2.preprocess.formats.media.windows import window_starts
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

AUDIOSET_MEAN = -4.2677393
"""Mean of AudioSet's filter banks (AST, ``src/run.py``): it becomes 0 in the graph, as padding."""

AUDIOSET_DEVIATION = 4.5689974
"""Standard deviation of AudioSet's filter banks. Source: as above."""

LOWEST_RATE_HZ = 4_000
HIGHEST_RATE_HZ = 384_000
MAX_CHANNELS = 16
LARGEST_SAMPLE = 32_768.0
"""Floating point audio lies in -1..1; values beyond 16-bit integers are certainly not audio."""
BLOCK_FRAMES = 1 << 16

_FORMATS = {"WAV": "WAV", "WAVEX": "WAV", "RF64": "WAV", "FLAC": "FLAC", "OGG": "OGG", "MP3": "MP3"}
_STREAMED_RIFF_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)
_MP3_SYNC = 0xE0
_MP3_STATED_LENGTH = re.compile(rb"(?:Xing|Info)\0\0\0[\x01-\x0f]")
"""Start of the tag in which an encoder states the number of frames; without it decoders guess."""

MIN_DECODED_SHARE = 0.98
"""Share of the stated samples below which a file is truncated; encoders round a little."""


class AudioParameters(Parameters):
    """Frozen parameters of the audio preprocessor."""

    sample_rate: int = 16_000
    mel_bins: int = 128
    frames: int = 512
    max_windows: int = 12


class Audio(NamedTuple):
    """A decoded recording.

    Attributes:
        waveform: A float32 array of samples in -1..1, (samples,) or (samples, channels).
        rate_hz: The number of samples per second.
    """

    waveform: npt.NDArray[np.float32]
    rate_hz: int


class AudioPreprocessor(Preprocessor[AudioParameters, Audio]):
    """WAV, FLAC, OGG or MP3 -> one or more windows of ``frames`` x ``mel_bins``."""

    modality = Modality.AUDIO
    media_types: ClassVar[dict[str, str]] = {
        "audio/wav": "WAV",
        "audio/x-wav": "WAV",
        "audio/wave": "WAV",
        "audio/vnd.wave": "WAV",
        "audio/flac": "FLAC",
        "audio/x-flac": "FLAC",
        "audio/ogg": "OGG",
        "application/ogg": "OGG",
        "audio/mpeg": "MP3",
        "audio/mp3": "MP3",
    }
    parameters_type = AudioParameters
    default_limits = Limits(bytes=32 * 2**20, decoded_bytes=192 * 2**20, seconds=300.0)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """``fbank`` float32 (frames, mel bins), natural logarithm of mel energies."""
        shape = (self.parameters.frames, self.parameters.mel_bins)
        return (TensorSpec(name="fbank", dtype="float32", shape=shape),)

    @classmethod
    def random_inputs(
        cls, head: HeadSpec, batch: int, lengths: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw filter banks with the mean and deviation of AudioSet."""
        shape = (batch, *input_shape(head, "fbank"))
        return {"fbank": rng.normal(AUDIOSET_MEAN, AUDIOSET_DEVIATION, shape)}

    @property
    def json_example(self) -> JsonValue:
        """A short tone as a base64 WAV."""
        return example_files.tone()

    def sniff(self, data: bytes) -> str | None:
        """Detect the content type by magic bytes; MP3 by its ID3 tag or frame sync."""
        if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
            return "audio/wav"
        if data[:4] == b"fLaC":
            return "audio/flac"
        if data[:4] == b"OggS":
            return "audio/ogg"
        synced = len(data) > 1 and data[0] == 0xFF and data[1] & _MP3_SYNC == _MP3_SYNC
        return "audio/mpeg" if data[:3] == b"ID3" or synced else None

    def decode(self, data: bytes, media_type: str | None = None) -> Audio:
        """Decode one audio file to mono float32; see the base class for errors."""
        expected = self._expected_format(data, media_type)
        _refuse_truncated_riff(data)
        try:
            with soundfile.SoundFile(io.BytesIO(data)) as file:
                stated = expected != "MP3" or _MP3_STATED_LENGTH.search(data) is not None
                declared = int(file.frames) if stated else 0
                self._check_header(file, expected, declared)
                return self._read(file, declared)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise UndecodableError(
                f"not a readable {expected} file; expected {self.accepts}", field="inputs"
            ) from error

    def prepare(self, native: Audio) -> Prepared:
        """Compute filter banks and cut them into windows spread evenly over the recording.

        A recording shorter than one window is padded at the end. Of a longer one, at most
        ``max_windows`` windows are used, and their answers are averaged.
        """
        p = self.parameters
        waveform = self._mono(*native)
        banks = FilterBanks(p.sample_rate, p.mel_bins)
        frames = banks.frames(len(waveform))
        if frames == 0:
            raise InvalidInputError(
                f"audio is shorter than {banks.length_s * 1000:g} ms", field="inputs"
            )
        if frames < p.frames:
            padding = ((0, p.frames - frames), (0, 0))
            fbank = np.pad(banks(waveform), padding, constant_values=AUDIOSET_MEAN)
            return Prepared([{"fbank": fbank}], {"reduce": "mean"})
        starts = window_starts(frames, p.frames, p.max_windows)
        samples = [{"fbank": banks(waveform, start, p.frames)} for start in starts]
        return Prepared(samples, {"reduce": "mean"})

    def _expected_format(self, data: bytes, media_type: str | None) -> str:
        if not data:
            raise UndecodableError(f"empty input; expected {self.accepts}", field="inputs")
        kind = media_type or self.sniff(data)
        if kind is None:
            raise UndecodableError(f"not a known audio format; expected {self.accepts}")
        if kind not in self.media_types:
            raise UnsupportedMediaTypeError(f"{kind} is not accepted; expected {self.accepts}")
        return self.media_types[kind]

    def _check_header(self, file: Any, expected: str, declared: int) -> None:
        found = _FORMATS.get(file.format)
        if found != expected:
            raise UndecodableError(
                f"declared as {expected}, but the bytes are {found or file.format}", field="inputs"
            )
        rate, channels = int(file.samplerate), int(file.channels)
        if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
            raise InvalidInputError(
                f"{rate:,} samples per second; expected {LOWEST_RATE_HZ:,} to {HIGHEST_RATE_HZ:,}"
            )
        if channels > MAX_CHANNELS:
            raise TooLargeError(f"{channels} channels; at most {MAX_CHANNELS} are accepted")
        self._check_length(declared, rate)

    def _check_length(self, frames: int, rate_hz: int) -> None:
        seconds = self.limits.seconds
        if seconds is not None and frames > seconds * rate_hz:
            raise TooLargeError(f"audio lasts longer than {seconds:g} seconds", field="inputs")
        if frames * 4 > self.limits.decoded_bytes:
            raise TooLargeError(
                f"audio is larger than {self.limits.decoded_bytes:,} bytes when decoded",
                field="inputs",
            )

    def _read(self, file: Any, declared: int) -> Audio:
        rate = int(file.samplerate)
        parts: list[npt.NDArray[np.float32]] = []
        frames = 0
        for block in _mono_blocks(file):
            frames += len(block)
            # The header may leave the length out or state a wrong one: count while reading.
            self._check_length(frames, rate)
            parts.append(block)
        if frames < MIN_DECODED_SHARE * declared:
            raise UndecodableError(
                f"audio is truncated: {frames:,} of {declared:,} samples are present",
                field="inputs",
            )
        if not parts:
            raise InvalidInputError("audio holds no samples", field="inputs")
        return Audio(np.concatenate(parts), rate)

    def _mono(self, waveform: npt.NDArray[np.float32], rate_hz: int) -> npt.NDArray[np.float32]:
        """Mix to one channel, resample to the head's rate and subtract the mean."""
        mono = np.asarray(waveform, dtype=np.float32)
        if mono.ndim == 2:
            mono = mono.mean(axis=1)
        # "not <=" rather than ">", so that NaN is refused too.
        if mono.size and not float(np.abs(mono).max()) <= LARGEST_SAMPLE:
            raise InvalidInputError(
                "audio holds samples that are not finite numbers in -1..1", field="inputs"
            )
        if rate_hz != self.parameters.sample_rate:
            mono = soxr.resample(mono, rate_hz, self.parameters.sample_rate)
        return mono - mono.mean(dtype=np.float64).astype(np.float32) if mono.size else mono


def _mono_blocks(file: Any) -> Iterator[npt.NDArray[np.float32]]:
    while True:
        block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        if not len(block):
            return
        yield block.mean(axis=1)


def _refuse_truncated_riff(data: bytes) -> None:
    """Refuse a WAV shorter than it declares; libsndfile would silently read what there is."""
    if data[:4] != b"RIFF":
        return
    declared = int.from_bytes(data[4:8], "little")
    # Writers to a pipe cannot seek back and leave one of these. A missing pad byte is harmless.
    if declared not in _STREAMED_RIFF_SIZES and declared + 8 > len(data) + 1:
        raise UndecodableError(
            f"WAV is truncated: {len(data):,} of {declared + 8:,} bytes are present",
            field="inputs",
        )


PREPROCESSOR = AudioPreprocessor
