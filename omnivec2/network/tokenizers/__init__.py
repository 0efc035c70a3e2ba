"""Tokenizers: named arrays of one modality -> tokens of f's width.

``AnyTokenizerConfig`` is the registry: the union of the configurations, discriminated by
their field ``modality``. Each configuration builds its tokenizer.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from omnivec2.network.tokenizers.base import Tokenizer, TokenizerConfig
from omnivec2.network.tokenizers.depth import DepthTokenizerConfig
from omnivec2.network.tokenizers.graph import GraphTokenizerConfig
from omnivec2.network.tokenizers.points import PointCloudTokenizerConfig
from omnivec2.network.tokenizers.series import (
    HyperspectralTokenizerConfig,
    ImuTokenizerConfig,
    TimeSeriesTokenizerConfig,
)
from omnivec2.network.tokenizers.tabular import TabularTokenizerConfig
from omnivec2.network.tokenizers.text import TextTokenizerConfig
from omnivec2.network.tokenizers.visual import VisualTokenizerConfig

__all__ = ["AnyTokenizerConfig", "Tokenizer", "TokenizerConfig"]

AnyTokenizerConfig = Annotated[
    VisualTokenizerConfig
    | DepthTokenizerConfig
    | TextTokenizerConfig
    | PointCloudTokenizerConfig
    | TimeSeriesTokenizerConfig
    | TabularTokenizerConfig
    | GraphTokenizerConfig
    | ImuTokenizerConfig
    | HyperspectralTokenizerConfig,
    Field(discriminator="modality"),
]
