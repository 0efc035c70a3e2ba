"""Masked pretraining: tokens are hidden, the encoder sees the rest, a decoder restores them.

One registry, by modality, says what is hidden and what is to be restored. No labels.
"""

from __future__ import annotations

from typing import Any

from omnivec2.network.tokenizers import Tokenizer
from omnivec2.spec import Modality
from omnivec2.training.masked.field_restoration import GraphRestoration, TabularRestoration
from omnivec2.training.masked.group_restoration import PointCloudRestoration
from omnivec2.training.masked.patch_restoration import (
    AudioRestoration,
    DepthRestoration,
    FrameRestoration,
    GrayRestoration,
    VideoRestoration,
)
from omnivec2.training.masked.restoration import Restoration
from omnivec2.training.masked.signal_restoration import (
    HyperspectralRestoration,
    ImuRestoration,
    TimeSeriesRestoration,
)
from omnivec2.training.masked.word_restoration import PermutedTextRestoration, TextRestoration

RESTORATIONS: dict[Modality, type[Restoration[Any]]] = {
    Modality.IMAGE: FrameRestoration,
    Modality.VIDEO: VideoRestoration,
    Modality.AUDIO: AudioRestoration,
    Modality.TEXT: TextRestoration,
    Modality.DEPTH: DepthRestoration,
    Modality.POINTCLOUD: PointCloudRestoration,
    Modality.TIMESERIES: TimeSeriesRestoration,
    Modality.TABULAR: TabularRestoration,
    Modality.GRAPH: GraphRestoration,
    Modality.XRAY: GrayRestoration,
    Modality.INFRARED: GrayRestoration,
    Modality.IMU: ImuRestoration,
    Modality.HYPERSPECTRAL: HyperspectralRestoration,
}

LITERAL_RESTORATIONS: dict[Modality, type[Restoration[Any]]] = {
    **RESTORATIONS,
    Modality.TEXT: PermutedTextRestoration,
}
"""With the paper's wording where we depart from it."""


def build_restoration(
    modality: Modality, tokenizer: Tokenizer, *, literal: bool = False
) -> Restoration[Any]:
    """What is hidden and restored of a tokenizer's tokens."""
    kinds = LITERAL_RESTORATIONS if literal else RESTORATIONS
    return kinds[modality](tokenizer)


__all__ = ["LITERAL_RESTORATIONS", "RESTORATIONS", "Restoration", "build_restoration"]
