"""Audio files -> Kaldi log-mel filter banks.

The recipe is that of the Audio Spectrogram Transformer (Gong et al., 2021): mono,
16 kHz, mean removed, 128 mel bins, 25 ms Hanning windows every 10 ms, no dither.
Normalisation with the AudioSet mean and deviation is in the graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soxr
from pydantic import Field, JsonValue

from omnivec2.errors import (
    InvalidInputError,
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
from omnivec2.preprocess.formats.media.media_signatures import container_of, unsupported_format
from omnivec2.preprocess.formats.media.windows import window_starts
from omnivec2.preprocess.formats.sound.recording_reader import (
    HIGHEST_RATE_HZ,
    LOWEST_RATE_HZ,
    MAX_CHANNELS,
    RecordingReader,
)
from omnivec2.preprocess.formats.sound.sample_arrays import (
    FORMS,
    file_text,
    is_array,
    read_samples,
)
from omnivec2.preprocess.formats.sound.sound_levels import (
    Samples,
    mixed,
    report_silence,
    to_full_scale,
)
from omnivec2.preprocess.formats.sound.sound_reader import open_sound
from omnivec2.preprocess.formats.sound.sound_types import SOUND_TYPES
from omnivec2.preprocess.formats.sound.white_noise import report_white_noise
from omnivec2.preprocess.notes import NoteCode, note
from omnivec2.preprocess.source_options import SourceOptions
from omnivec2.preprocess.source_options import stated as stated_options
from omnivec2.spec import HeadSpec, Limits, Modality, TensorSpec

AUDIOSET_MEAN = -4.2677393
"""Mean of AudioSet's filter banks (AST, ``src/run.py``): it becomes 0 in the graph, as padding."""

AUDIOSET_DEVIATION = 4.5689974
"""Standard deviation of AudioSet's filter banks. Source: as above."""

LONGEST_PIECE_SECONDS = 60.0
"""The longest piece that a long recording is cut into."""

_REST_SECONDS = 1.25
"""What may be added to the last piece, as too short for one of its own."""

_CALLED_ALIKE = frozenset({"M4A", "AAC"})


class AudioOptions(SourceOptions):
    """What a caller can state of a recording."""

    sample_rate: int | None = Field(
        default=None,
        ge=LOWEST_RATE_HZ,
        le=HIGHEST_RATE_HZ,
        description="Samples per second of arrays of samples, or instead of what a file states.",
    )
    scale: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="The full scale of floating point samples, such as 32768 for integers of 16 "
        "bits that were saved as floats; 1 unless they are plainly larger.",
    )


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
    """A recording -> one or more windows of ``frames`` x ``mel_bins``."""

    modality = Modality.AUDIO
    media_types = SOUND_TYPES
    parameters_type = AudioParameters
    source_options_type = AudioOptions
    default_limits = Limits(bytes=32 * 2**20, decoded_bytes=192 * 2**20, seconds=300.0)

    @property
    def piece_seconds(self) -> float:
        """As much as the windows of a recording cover without gaps, even if a rest is added."""
        p = self.parameters
        banks = FilterBanks(p.sample_rate, p.mel_bins)
        covered = p.frames * p.max_windows * banks.shift_s
        longest = min(covered, self.limits.seconds or math.inf)
        return max(1.0, min(longest - _REST_SECONDS, LONGEST_PIECE_SECONDS))

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
        """Detect the content type by magic bytes; MP3 and AAC by the sync of their frames."""
        found = _kind_of(data)
        return next((kind for kind, name in self.media_types.items() if name == found), None)

    def split(self, value: JsonValue) -> list[JsonValue] | None:
        """Split a list of inputs; a list of numbers is a single one, its samples."""
        return list(value) if isinstance(value, list) and not is_array(value) else None

    def decode_json(self, value: JsonValue) -> Audio:
        """Decode a file as base64 text, or an array of samples and its sampling rate."""
        if isinstance(value, dict) and (text := file_text(value)) is not None:
            value = text
        if isinstance(value, str):
            return self.decode(self.decode_base64(value))
        if not isinstance(value, (list, dict)):
            raise InvalidInputError(f"expected {FORMS}", field="inputs")
        seconds = self.limits.seconds or math.inf
        most = int(min(seconds * HIGHEST_RATE_HZ, self.limits.decoded_bytes // 4))
        samples, rate = read_samples(value, most, MAX_CHANNELS)
        rate = self._stated_rate(rate)
        if rate is None:
            rate = self.parameters.sample_rate
            note(
                NoteCode.GUESSED,
                f"the samples state no sampling rate, so that {rate:,} per second were assumed; "
                "state sample_rate among the parameters",
                field="sample_rate",
            )
        reader = RecordingReader(self.limits)
        reader.check_header(rate, 1 if samples.ndim == 1 else samples.shape[1])
        reader.check_length(len(samples), rate)
        return Audio(self._scaled(samples), rate)

    def decode(self, data: bytes, media_type: str | None = None) -> Audio:
        """Decode one audio file to mono float32; see the base class for errors."""
        kind = self._format(data, media_type)
        reader = RecordingReader(self.limits)
        with open_sound(data, kind) as sound:
            rate = self._stated_rate(sound.rate_hz) or sound.rate_hz
            reader.check_header(rate, sound.channels)
            reader.check_length(sound.stated_frames or 0, rate)
            mono = reader.read_mono(sound, rate)
        return Audio(self._scaled(mono) if sound.floats else mono, rate)

    def prepare(self, native: Audio) -> Prepared:
        """Compute filter banks and cut them into windows spread evenly over the recording.

        A recording shorter than one window is padded at the end. Of a longer one, at most
        ``max_windows`` windows are used, and their answers are averaged.

        Context: ``frames``, the filter banks of the whole recording.
        """
        p = self.parameters
        waveform = self._mono(*native)
        report_silence(waveform)
        banks = FilterBanks(p.sample_rate, p.mel_bins)
        frames = banks.frames(len(waveform))
        if frames == 0:
            raise InvalidInputError(
                f"audio is shorter than {banks.length_s * 1000:g} ms", field="inputs"
            )
        if frames < p.frames:
            padding = ((0, p.frames - frames), (0, 0))
            energies = banks(waveform)
            report_white_noise([energies], banks)
            fbank = np.pad(energies, padding, constant_values=AUDIOSET_MEAN)
            return Prepared([{"fbank": fbank}], {"reduce": "mean", "frames": frames})
        if frames > p.frames * p.max_windows:
            note(
                NoteCode.CUT,
                f"{p.max_windows} windows spread over the recording were used, which hold "
                f"{p.frames * p.max_windows / frames:.0%} of it",
            )
        starts = window_starts(frames, p.frames, p.max_windows)
        samples = [{"fbank": banks(waveform, start, p.frames)} for start in starts]
        report_white_noise([sample["fbank"] for sample in samples], banks)
        return Prepared(samples, {"reduce": "mean", "frames": frames})

    def _format(self, data: bytes, media_type: str | None) -> str:
        if media_type is not None and media_type not in self.media_types:
            raise UnsupportedMediaTypeError(
                f"{media_type} is not accepted; expected {self.accepts}"
            )
        if not data:
            raise UndecodableError(f"empty input; expected {self.accepts}", field="inputs")
        found = _kind_of(data)
        if found is None or found not in self.media_types.values():
            raise self._unknown(found or unsupported_format(data))
        declared = self.media_types.get(media_type or "", found)
        # Recordings of AAC are called by their codec or by their container.
        if declared != found and not {declared, found} <= _CALLED_ALIKE:
            raise UndecodableError(
                f"declared as {declared}, but the bytes are {found}: declare it as that, or send "
                "no Content-Type",
                field="inputs",
            )
        return found

    def _unknown(self, what: str | None) -> UndecodableError:
        if what is None:
            return UndecodableError(
                f"not a known audio format; expected {self.accepts}", field="inputs"
            )
        return UndecodableError(
            f"unsupported: {what}; expected {self.accepts}; convert it with "
            "ffmpeg -i INPUT OUTPUT.wav",
            field="inputs",
        )

    def _stated_rate(self, rate_hz: int | None) -> int | None:
        """Return the sampling rate that the caller states, or else that of the input."""
        stated = stated_options(AudioOptions).sample_rate
        if stated is not None and rate_hz is not None and stated != rate_hz:
            note(
                NoteCode.CONVERTED,
                f"the input states {rate_hz:,} samples per second and the request {stated:,}; "
                "that of the request was used",
                field="sample_rate",
            )
        return rate_hz if stated is None else stated

    def _scaled(self, samples: Samples) -> Samples:
        """Apply the full scale that the caller states; integers in files have their own."""
        scale = stated_options(AudioOptions).scale
        return samples if scale is None else samples / np.float32(scale)

    def _mono(self, waveform: Samples, rate_hz: int) -> Samples:
        """Mix to one channel of -1..1, resample to the head's rate and subtract the mean."""
        mono = mixed(np.asarray(waveform, dtype=np.float32))
        mono = to_full_scale(mono, stated=stated_options(AudioOptions).scale is not None)
        wanted = self.parameters.sample_rate
        if rate_hz < wanted:
            note(
                NoteCode.RESAMPLED,
                f"the recording has {rate_hz:,} samples per second, not {wanted:,}: it lacks what "
                f"lies above {rate_hz // 2:,} Hz",
            )
        if rate_hz != wanted:
            mono = soxr.resample(mono, rate_hz, wanted)
        return mono - mono.mean(dtype=np.float64).astype(np.float32) if mono.size else mono


def _kind_of(data: bytes) -> str | None:
    """Return the container of a recording, by the name under which sound comes in it."""
    found = container_of(data)
    return "M4A" if found in ("MP4", "MOV") else found


PREPROCESSOR = AudioPreprocessor
