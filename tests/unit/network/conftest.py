"""The tiny network, built once."""

from __future__ import annotations

import pytest

from omnivec2.network.omnivec2 import OmniVec2
from tests.support.networks.networks import tiny_network


@pytest.fixture(scope="session")
def network() -> OmniVec2:
    """Every modality and family, random weights, evaluation mode."""
    return tiny_network()
