"""The OmniVec2 network (torch): tokenizers, trunk g . f, training-only fusion, heads."""

from omnivec2.network.config import PRESETS, HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2

__all__ = ["PRESETS", "HeadConfig", "NetworkConfig", "OmniVec2"]
