"""Point clouds: how places are distinguished."""

from __future__ import annotations

import torch

from omnivec2.network.tokenizers.points import FourierFeatures


def test_places_keep_their_coordinates_and_gain_waves_of_four_lengths():
    places = torch.tensor([[0.0, 0.5, -1.0]])
    features = FourierFeatures()(places)
    assert features.shape == (1, FourierFeatures.outputs)
    assert torch.equal(features[:, :3], places)
    assert torch.allclose(features[0, 3:7], torch.zeros(4))  # sin(0)
    assert torch.allclose(features[0, 15:19], torch.ones(4))  # cos(0)


def test_near_places_differ_more_than_their_coordinates_do():
    near = torch.tensor([[0.10, 0.0, 0.0], [0.16, 0.0, 0.0]])
    features = FourierFeatures()(near)
    assert (features[0] - features[1]).norm() > 10 * (near[0] - near[1]).norm()
