"""Tokenizers, which turn named arrays of one modality into tokens of f's width; their registry."""

from __future__ import annotations

from typing import Any

from omnivec2.network.config import TokenizerConfig
from omnivec2.network.tokenizers.base import Tokenizer
from omnivec2.network.tokenizers.depth import DepthTokenizer
from omnivec2.network.tokenizers.graph import GraphTokenizer
from omnivec2.network.tokenizers.points import PointCloudTokenizer
from omnivec2.network.tokenizers.series import (
    HyperspectralTokenizer,
    ImuTokenizer,
    TimeSeriesTokenizer,
)
from omnivec2.network.tokenizers.tabular import TabularTokenizer
from omnivec2.network.tokenizers.text import TextTokenizer
from omnivec2.network.tokenizers.visual import (
    AudioTokenizer,
    GrayTokenizer,
    ImageTokenizer,
    VideoTokenizer,
)
from omnivec2.spec import Modality

TOKENIZERS: dict[Modality, Any] = {
    Modality.IMAGE: ImageTokenizer,
    Modality.VIDEO: VideoTokenizer,
    Modality.AUDIO: AudioTokenizer,
    Modality.TEXT: TextTokenizer,
    Modality.DEPTH: DepthTokenizer,
    Modality.POINTCLOUD: PointCloudTokenizer,
    Modality.TIMESERIES: TimeSeriesTokenizer,
    Modality.TABULAR: TabularTokenizer,
    Modality.GRAPH: GraphTokenizer,
    Modality.XRAY: GrayTokenizer,
    Modality.INFRARED: GrayTokenizer,
    Modality.IMU: ImuTokenizer,
    Modality.HYPERSPECTRAL: HyperspectralTokenizer,
}


def build_tokenizer(config: TokenizerConfig, width: int) -> Tokenizer:
    """Build the tokenizer of a configuration, which makes tokens of ``width``."""
    tokenizer: Tokenizer = TOKENIZERS[config.modality](config, width)
    return tokenizer


__all__ = ["TOKENIZERS", "Tokenizer", "build_tokenizer"]
