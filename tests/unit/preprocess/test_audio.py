from __future__ import annotations

import base64
import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from omnivec2.errors import (
    InputError,
    InvalidInputError,
    TooLargeError,
    UndecodableError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import collate, preprocessor_type
from omnivec2.preprocess.audio import (
    AUDIOSET_MEAN,
    Audio,
    AudioOptions,
    AudioParameters,
    AudioPreprocessor,
)
from omnivec2.preprocess.notes import NoteCode, collect_notes
from omnivec2.preprocess.source_options import state
from omnivec2.spec import Limits, Modality
from tests.support.sample_files import sounds

DATA = Path(__file__).parents[2] / "data" / "audio"
FILES = {
    "dog_bark.wav": "audio/wav",
    "dog_bark_stereo_44k1.flac": "audio/flac",
    "dog_bark.ogg": "audio/ogg",
    "dog_bark.mp3": "audio/mpeg",
}


def audio(limits: Limits | None = None, **parameters) -> AudioPreprocessor:
    return AudioPreprocessor(AudioParameters(**parameters), limits)


def encoded(waveform: np.ndarray, rate: int = 16_000, kind: str = "WAV", subtype=None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format=kind, subtype=subtype)
    return file.getvalue()


def tone(seconds: float, rate: int = 16_000) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype("f4")


def test_the_registry_finds_the_audio_preprocessor():
    assert preprocessor_type(Modality.AUDIO) is AudioPreprocessor


@pytest.mark.parametrize(("name", "media_type"), FILES.items())
def test_every_format_becomes_one_window_of_filter_banks(name, media_type):
    data = (DATA / name).read_bytes()
    assert audio().sniff(data) == media_type
    for declared in (media_type, None):
        prepared = audio().prepare(audio().decode(data, declared))
        (sample,) = prepared.samples
        assert sample["fbank"].shape == (512, 128)
        assert sample["fbank"].dtype == np.float32
        assert np.isfinite(sample["fbank"]).all()


def test_base64_gives_what_the_bytes_give():
    data = (DATA / "dog_bark.wav").read_bytes()
    same = audio().decode_json(base64.b64encode(data).decode())
    np.testing.assert_array_equal(same.waveform, audio().decode(data).waveform)


def test_stereo_is_averaged_and_keeps_its_rate_until_it_is_prepared():
    native = audio().decode((DATA / "dog_bark_stereo_44k1.flac").read_bytes())
    assert native.rate_hz == 44_100
    assert native.waveform.ndim == 1


def test_a_tone_gives_the_same_filter_banks_at_every_rate():
    at_16k = audio().prepare(Audio(tone(2), 16_000)).samples[0]["fbank"][:190]
    at_48k = audio().prepare(Audio(tone(2, 48_000), 48_000)).samples[0]["fbank"][:190]
    loud = at_16k > at_16k.max() - 5
    assert at_48k[loud] == pytest.approx(at_16k[loud], abs=0.2)


def test_a_constant_offset_changes_nothing():
    plain = audio().prepare(Audio(tone(1), 16_000)).samples[0]["fbank"]
    shifted = audio().prepare(Audio(tone(1) + np.float32(0.2), 16_000)).samples[0]["fbank"]
    assert shifted.mean() == pytest.approx(plain.mean(), abs=0.2)


def test_short_audio_is_padded_at_the_end_with_the_mean_of_audioset():
    fbank = audio().prepare(Audio(tone(1), 16_000)).samples[0]["fbank"]
    assert (fbank[98:] == np.float32(AUDIOSET_MEAN)).all()
    assert (fbank[:98] != np.float32(AUDIOSET_MEAN)).any()


def test_long_audio_becomes_windows_whose_answers_are_averaged():
    prepared = audio().prepare(Audio(tone(12), 16_000))
    assert len(prepared.samples) == 3
    assert prepared.context["reduce"] == "mean"
    assert collate(prepared.samples)["fbank"].shape == (3, 512, 128)


def test_very_long_audio_is_sampled_by_at_most_max_windows():
    assert len(audio(max_windows=2).prepare(Audio(tone(30), 16_000)).samples) == 2


def test_preparing_twice_gives_the_same():
    native = audio().decode((DATA / "dog_bark.ogg").read_bytes())
    first, second = (audio().prepare(native).samples[0]["fbank"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_is_undecodable(name):
    data = (DATA / name).read_bytes()
    with pytest.raises(UndecodableError):
        audio().decode(data[: len(data) // 2])


def test_an_mp3_that_states_no_length_is_read_to_its_end():
    data = (DATA / "dog_bark.mp3").read_bytes()
    second_frame = data.find(data[:2], 10)
    assert len(audio().decode(data[second_frame:]).waveform) > 30_000


def test_a_wav_that_was_streamed_without_a_length_is_read():
    data = bytearray(encoded(tone(0.5)))
    data[4:8] = b"\xff\xff\xff\xff"
    assert len(audio().decode(bytes(data)).waveform) == 8_000


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"RIFF", b"OggS", b"fLaC"])
@pytest.mark.parametrize("media_type", [None, "audio/wav", "audio/ogg", "audio/mpeg"])
def test_bytes_that_are_no_audio_are_undecodable(data, media_type):
    with pytest.raises(UndecodableError):
        audio().decode(data, media_type)


def test_a_wrong_declared_type_is_refused_and_the_real_one_named():
    with pytest.raises(UndecodableError, match=r"declared as FLAC.*WAV"):
        audio().decode((DATA / "dog_bark.wav").read_bytes(), "audio/flac")


def test_another_media_type_is_unsupported_and_the_accepted_ones_named():
    with pytest.raises(UnsupportedMediaTypeError, match="WAV, FLAC, OGG, MP3"):
        audio().decode(b"x", "image/png")


def test_a_declared_duration_over_the_limit_is_refused_before_decoding():
    data = encoded(np.zeros(16_000 * 60, np.float32), kind="FLAC")
    assert len(data) < 20_000
    with pytest.raises(TooLargeError, match="10 seconds"):
        audio(Limits(seconds=10)).decode(data)


def test_a_flac_of_hours_of_silence_is_refused():
    data = encoded(np.zeros(20_000_000, np.int16), rate=8_000, kind="FLAC")
    with pytest.raises(TooLargeError):
        audio().decode(data)


def test_decoded_bytes_are_limited():
    with pytest.raises(TooLargeError, match="when decoded"):
        audio(Limits(decoded_bytes=1_000)).decode(encoded(tone(1)))


def test_audio_shorter_than_a_frame_is_refused():
    with pytest.raises(InvalidInputError, match="25 ms"):
        audio().prepare(Audio(tone(0.02), 16_000))


def test_a_file_without_samples_is_refused():
    with pytest.raises(InputError):
        audio().decode(encoded(np.zeros(0, np.float32)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_float_samples_that_are_no_sound_are_refused(value):
    waveform = tone(1)
    waveform[5] = value
    native = audio().decode(encoded(waveform, subtype="FLOAT"))
    with pytest.raises(InvalidInputError, match=r"-1\.\.1"):
        audio().prepare(native)


@pytest.mark.parametrize("rate", [100, 1_000_000])
def test_absurd_sampling_rates_are_refused(rate):
    with pytest.raises(InvalidInputError, match="samples per second"):
        audio().decode(encoded(tone(0.1), rate))


def test_too_many_channels_are_refused():
    with pytest.raises(TooLargeError, match="channels"):
        audio().decode(encoded(np.zeros((100, 20), np.float32)))


def test_json_that_is_no_base64_is_refused():
    with pytest.raises(InvalidInputError, match="base64"):
        audio().decode_json({"a": 1})
    with pytest.raises(UndecodableError):
        audio().decode_json("§§§")


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_never_raise_anything_but_input_errors(name):
    data = (DATA / name).read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(40):
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), 3_000), 4):
            damaged[at] = int(rng.integers(256))
        with contextlib.suppress(InputError):
            audio().prepare(audio().decode(bytes(damaged)))


def test_a_recording_that_decodes_to_too_much_is_refused():
    data = (DATA / "dog_bark.wav").read_bytes()
    with pytest.raises(TooLargeError, match="when decoded"):
        AudioPreprocessor(AudioParameters(), Limits(decoded_bytes=1_000)).decode(data)


def test_a_file_of_no_samples_is_invalid():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(0, np.float32), 16_000, format="WAV")
    with pytest.raises(InvalidInputError, match="no samples"):
        AudioPreprocessor(AudioParameters()).decode(file.getvalue())


def test_the_channels_of_an_array_are_averaged_as_those_of_a_file():
    left, right = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 8_000)).astype(np.float32)
    audio = AudioPreprocessor(AudioParameters(frames=32))
    stereo = audio.prepare(Audio(np.stack([left, right], axis=1), 16_000))
    mono = audio.prepare(Audio((left + right) / 2, 16_000))
    for first, second in zip(stereo.samples, mono.samples, strict=True):
        np.testing.assert_allclose(first["fbank"], second["fbank"], atol=1e-4)


def prepared(native: Audio, preprocessor: AudioPreprocessor | None = None):
    """The first filter banks, and the codes of the notes."""
    with collect_notes() as notes:
        samples = (preprocessor or audio()).prepare(native).samples
    return samples[0]["fbank"], [remark.code for remark in notes]


def decoded(data: bytes, media_type: str | None = None) -> tuple[Audio, list[NoteCode]]:
    with collect_notes() as notes:
        return audio().decode(data, media_type), [remark.code for remark in notes]


def test_silence_is_answered_with_a_note():
    assert prepared(Audio(np.zeros(16_000, np.float32), 16_000))[1] == [NoteCode.EMPTY]
    assert prepared(Audio(np.full(16_000, 0.2, np.float32), 16_000))[1] == [NoteCode.EMPTY]
    assert prepared(Audio(tone(1), 16_000))[1] == []


def test_a_lower_rate_lacks_something_and_a_higher_one_does_not():
    assert prepared(Audio(tone(1, 8_000), 8_000))[1] == [NoteCode.RESAMPLED]
    assert prepared(Audio(tone(1, 44_100), 44_100))[1] == []


def test_what_is_left_out_of_a_long_recording_is_noted():
    long = Audio(tone(30), 16_000)
    assert prepared(long, audio(max_windows=2))[1] == [NoteCode.CUT]
    assert prepared(long)[1] == []


@pytest.mark.parametrize("full", [2**15, 2**31])
def test_floats_of_the_range_of_integers_are_scaled_with_a_note(full):
    native, notes = decoded(encoded(tone(1) * full, subtype="FLOAT"))
    fbank, more = prepared(native)
    assert (notes, more) == ([], [NoteCode.GUESSED])
    assert fbank == pytest.approx(prepared(Audio(tone(1), 16_000))[0], abs=0.1)


def test_the_scale_can_be_stated():
    data = encoded(tone(1) * 1_000, subtype="FLOAT")
    with state(AudioOptions(scale=1_000.0)):
        native, _ = decoded(data)
        fbank, notes = prepared(native)
        whole, _ = decoded(encoded(tone(1)))  # integers have a scale of their own
    assert notes == []
    assert fbank == pytest.approx(prepared(Audio(tone(1), 16_000))[0], abs=0.1)
    assert whole.waveform.max() == pytest.approx(0.3, abs=1e-3)


def test_the_sampling_rate_can_be_stated_where_a_file_is_wrong():
    with state(AudioOptions(sample_rate=16_000)):
        native, notes = decoded(encoded(tone(1), rate=48_000))
        assert (native.rate_hz, notes) == (16_000, [NoteCode.CONVERTED])
        native, notes = decoded(encoded(tone(1), rate=100))
        assert (native.rate_hz, notes) == (16_000, [NoteCode.CONVERTED])
        assert decoded(encoded(tone(1)))[1] == []


def test_arrays_of_samples_are_taken_with_their_rate():
    samples = [float(value) for value in tone(0.2)]
    with collect_notes() as notes:
        native = audio().decode_json({"array": samples, "sampling_rate": 8_000})
    assert (native.rate_hz, len(native.waveform), len(notes)) == (8_000, len(samples), 0)


def test_a_rate_that_is_not_stated_is_assumed_with_a_note():
    samples = [float(value) for value in tone(0.2)]
    assert audio().split(samples) is None
    with collect_notes() as notes:
        assert audio().decode_json(samples).rate_hz == 16_000
    assert [remark.code for remark in notes] == [NoteCode.GUESSED]
    with collect_notes() as notes, state(AudioOptions(sample_rate=8_000)):
        assert audio().decode_json(samples).rate_hz == 8_000
    assert len(notes) == 0


def test_a_list_of_files_is_a_list_of_inputs():
    assert audio().split(["AAAA", "BBBB"]) == ["AAAA", "BBBB"]
    assert audio().split([[0.1, 0.2], [0.3]]) == [[0.1, 0.2], [0.3]]
    assert audio().split("AAAA") is None


@pytest.mark.parametrize("value", [7, None, True])
def test_json_that_is_neither_a_file_nor_samples_is_refused(value):
    with pytest.raises(InvalidInputError, match=r"base64.*array"):
        audio().decode_json(value)


def test_arrays_of_too_many_samples_or_of_a_wild_rate_are_refused():
    with pytest.raises(TooLargeError, match="10 seconds"):
        audio(Limits(seconds=10)).decode_json({"array": [0.1] * 45_000, "sampling_rate": 4_000})
    with pytest.raises(InvalidInputError, match="samples per second"):
        audio().decode_json({"array": [0.1] * 50, "sampling_rate": 3})


def test_files_in_objects_are_taken():
    text = base64.b64encode(encoded(tone(1))).decode()
    for value in ({"data": text, "format": "wav"}, {"input_audio": {"data": text}}):
        assert len(audio().decode_json(value).waveform) == 16_000


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_of_channels_of_opposite_phase_one_is_used_with_a_note(kind):
    wave = 2 * tone(1)
    native, notes = decoded(encoded(np.stack([wave, -wave], axis=1), kind=kind))
    assert notes == [NoteCode.REPAIRED]
    assert np.abs(native.waveform).max() == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize(
    ("declared", "bytes_are"),
    [
        ("audio/mp4", "mp4"), ("audio/x-m4a", "mp4"), ("audio/aac", "mp4"), ("audio/mp4", "adts"),
        ("audio/aac", "adts"), ("video/mp4", "mp4"), ("audio/webm", "webm"),
        ("video/webm", "webm"), ("audio/ogg", "ogg"), ("audio/opus", "ogg"),
    ],
)  # fmt: skip
def test_recordings_go_by_several_names(declared, bytes_are):
    codec = {"webm": "libopus", "ogg": "libopus"}.get(bytes_are, "aac")
    data = sounds.encoded(tone(1), bytes_are, codec)
    assert len(decoded(data, declared)[0].waveform) > 15_000
    assert len(decoded(data)[0].waveform) > 15_000


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"MThd\0\0\0\6", "MIDI"),
        (b"wvpk1234", "WavPack"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"\0\0\1\xba1234", "MPEG-PS"),
        (b"\x0b\x77\x12\x34", "AC-3"),
    ],
)
def test_what_is_no_sound_that_is_read_is_named_with_a_way_out(data, what):
    with pytest.raises(UndecodableError, match=rf"unsupported: {what}.*convert it with ffmpeg"):
        audio().decode(data)
