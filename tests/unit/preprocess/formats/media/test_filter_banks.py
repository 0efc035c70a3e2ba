from __future__ import annotations

import kaldi_native_fbank
import numpy as np
import pytest

from omnivec2.preprocess.formats.media.filter_banks import FilterBanks


def kaldi(waveform: np.ndarray, bins: int) -> np.ndarray:
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = 16_000
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "hanning"
    options.mel_opts.num_bins = bins
    options.use_energy = False
    options.htk_compat = True
    fbank = kaldi_native_fbank.OnlineFbank(options)
    fbank.accept_waveform(16_000, waveform)
    fbank.input_finished()
    return np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])


@pytest.mark.parametrize("bins", [40, 80])
def test_filter_banks_equal_those_of_kaldi(bins):
    waveform = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    assert FilterBanks(16_000, bins)(waveform) == pytest.approx(kaldi(waveform, bins), abs=1e-3)


def test_frames_from_the_middle_equal_those_of_the_whole():
    waveform = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    banks = FilterBanks(16_000, 128)
    whole = banks(waveform)
    assert len(whole) == banks.frames(len(waveform)) == 98
    assert banks(waveform, 30, 20) == pytest.approx(whole[30:50], abs=1e-4)


def test_silence_has_the_floor_as_its_energy():
    silence = np.zeros(400, np.float32)
    assert FilterBanks(16_000, 128)(silence) == pytest.approx(np.log(np.finfo(np.float32).eps))


def test_a_waveform_shorter_than_a_frame_has_none():
    assert FilterBanks(16_000, 128).frames(399) == 0
