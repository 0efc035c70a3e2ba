"""A tiny network with every modality and family, and random inputs for each route."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from omnivec2.network.config import PRESETS, HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
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
from omnivec2.spec import Modality, TaskFamily

Inputs = dict[str, Tensor]


def _visual(modality: Modality, grid: tuple[int, int, int], tubelet: tuple[int, int, int]):
    return VisualTokenizerConfig.model_validate(
        {"modality": modality, "stem_blocks": 8, "grid": grid, "tubelet": tubelet}
    )


TOKENIZERS = {
    "image": _visual(Modality.IMAGE, (1, 4, 4), (1, 1, 1)),
    "video": _visual(Modality.VIDEO, (2, 2, 2), (2, 2, 2)),
    "audio": _visual(Modality.AUDIO, (1, 4, 4), (1, 2, 2)),
    "depth": DepthTokenizerConfig(frames=8, height=32, width=32, tubelet=(2, 4, 4)),
    "xray": _visual(Modality.XRAY, (1, 4, 4), (1, 1, 1)),
    "infrared": _visual(Modality.INFRARED, (1, 4, 4), (1, 1, 1)),
    "text": TextTokenizerConfig(vocabulary=100, positions=32),
    "pointcloud": PointCloudTokenizerConfig(groups=8),
    "timeseries": TimeSeriesTokenizerConfig(context_length=64),
    "tabular": TabularTokenizerConfig(numbers=3, cardinalities=(4, 5)),
    "graph": GraphTokenizerConfig(node_cardinalities=(5, 4), edge_cardinalities=(3,)),
    "imu": ImuTokenizerConfig(window=32, channels=6),
    "hyperspectral": HyperspectralTokenizerConfig(bands=20, window=3, band_group=8),
}

HEADS = {
    "image/classification": HeadConfig(
        family=TaskFamily.CLASSIFICATION, tokenizer="image", outputs=4
    ),
    "image/detection": HeadConfig(
        family=TaskFamily.DETECTION, tokenizer="image", outputs=3, grid=(4, 4)
    ),
    "image/segmentation": HeadConfig(
        family=TaskFamily.SEGMENTATION, tokenizer="image", outputs=5, grid=(4, 4), layout="token"
    ),
    "video/action": HeadConfig(family=TaskFamily.CLASSIFICATION, tokenizer="video", outputs=2),
    "audio/events": HeadConfig(family=TaskFamily.CLASSIFICATION, tokenizer="audio", outputs=3),
    "text/sentiment": HeadConfig(family=TaskFamily.CLASSIFICATION, tokenizer="text", outputs=2),
    "depth/action": HeadConfig(family=TaskFamily.CLASSIFICATION, tokenizer="depth", outputs=3),
    "pointcloud/parts": HeadConfig(
        family=TaskFamily.SEGMENTATION, tokenizer="pointcloud", outputs=3, layout="token"
    ),
    "timeseries/forecast": HeadConfig(
        family=TaskFamily.FORECASTING,
        tokenizer="timeseries",
        outputs=12,
        tokens=8,
        context=64,
        quantiles=2,
    ),
    "tabular/income": HeadConfig(family=TaskFamily.CLASSIFICATION, tokenizer="tabular", outputs=2),
    "graph/solubility": HeadConfig(family=TaskFamily.REGRESSION, tokenizer="graph", outputs=1),
    "xray/pneumonia": HeadConfig(family=TaskFamily.CLASSIFICATION, tokenizer="xray", outputs=2),
    "infrared/objects": HeadConfig(
        family=TaskFamily.CLASSIFICATION, tokenizer="infrared", outputs=4
    ),
    "imu/activity": HeadConfig(family=TaskFamily.CLASSIFICATION, tokenizer="imu", outputs=6),
    "hyperspectral/landcover": HeadConfig(
        family=TaskFamily.SEGMENTATION, tokenizer="hyperspectral", outputs=4
    ),
    "text/embedding": HeadConfig(family=TaskFamily.EMBEDDING, tokenizer="text"),
}


def _pixels(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def _ids(high: int, *shape: int) -> Tensor:
    return torch.randint(0, high, shape, dtype=torch.int32)


def _graph(batch: int, nodes: int, edges: int) -> Inputs:
    return {
        "nodes": _ids(4, batch, nodes, 2),
        "node_ids": torch.randn(batch, nodes, 16),
        "node_mask": torch.ones(batch, nodes, dtype=torch.uint8),
        "edges": _ids(nodes, batch, edges, 2),
        "edge_features": _ids(3, batch, edges, 1),
        "edge_mask": torch.ones(batch, edges, dtype=torch.uint8),
    }


def _text(batch: int, length: int) -> Inputs:
    return {
        "input_ids": _ids(100, batch, length),
        "token_type_ids": _ids(2, batch, length),
        "attention_mask": torch.ones(batch, length, dtype=torch.int32),
    }


INPUTS: dict[str, Callable[[int], Inputs]] = {
    "image": lambda b: {"pixels": _pixels(b, 64, 64, 3)},
    "video": lambda b: {"frames": _pixels(b, 4, 64, 64, 3)},
    "audio": lambda b: {"fbank": torch.randn(b, 128, 128)},
    "text": lambda b: _text(b, 9),
    "depth": lambda b: {"depth": torch.randint(0, 4000, (b, 8, 32, 32)).to(torch.uint16)},
    "pointcloud": lambda b: {
        "groups": torch.randn(b, 8, 16, 3) * 0.1, "centres": torch.randn(b, 8, 3)
    },
    "timeseries": lambda b: {"values": torch.randn(b, 64) * 5 + 20},
    "tabular": lambda b: {
        "numbers": torch.randn(b, 3),
        "missing": torch.zeros(b, 3, dtype=torch.uint8),
        "categories": _ids(4, b, 2),
    },
    "graph": lambda b: _graph(b, 6, 5),
    "xray": lambda b: {"pixels": _pixels(b, 64, 64, 1)},
    "infrared": lambda b: {"pixels": _pixels(b, 64, 64, 1)},
    "imu": lambda b: {"signal": torch.randn(b, 32, 6)},
    "hyperspectral": lambda b: {"window": torch.rand(b, 3, 3, 20)},
}  # fmt: skip


def make_inputs(route: str, batch: int) -> Inputs:
    """Random inputs of a route's tokenizer."""
    torch.manual_seed(0)
    return INPUTS[HEADS[route].tokenizer](batch)


def tiny_network() -> OmniVec2:
    """A tiny network with random weights, in evaluation mode, the same in every test."""
    torch.manual_seed(0)
    base = PRESETS["tiny"].model_dump()
    config = NetworkConfig.model_validate(base | {"tokenizers": TOKENIZERS, "heads": HEADS})
    return OmniVec2(config).eval()
