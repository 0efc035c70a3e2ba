"""Depth: the channels that the tokenizer computes of a clip."""

from __future__ import annotations

import torch

from omnivec2.network.tokenizers.depth import DepthTokenizer


def test_a_static_scene_has_no_motion():
    clip = torch.randint(0, 4000, (2, 1, 8, 8)).expand(2, 5, 8, 8).float()
    channels = DepthTokenizer.channels(clip)
    assert channels.shape == (2, 5, 4, 8, 8)
    assert channels[:, :, 2:].abs().max() < 1e-3
    assert channels[:, :, :2].abs().max() > 1


def test_pixels_that_were_never_measured_have_no_effect():
    assert torch.equal(DepthTokenizer.channels(torch.zeros(1, 3, 4, 4)), torch.zeros(1, 3, 4, 4, 4))


def test_a_step_of_one_pixel_towards_the_camera_shows_as_a_change_of_sign_at_that_pixel():
    clip = torch.full((1, 2, 4, 4), 2000.0)
    clip[0, 1, 1, 2] = 1500.0
    change = DepthTokenizer.channels(clip)[0, :, 2]
    assert change[0, 1, 2] > 0 > change[1, 1, 2]
    assert change.abs().sum() == change[:, 1, 2].abs().sum()
