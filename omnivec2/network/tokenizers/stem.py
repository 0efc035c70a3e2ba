"""The convolutional stem of the visual tokenizers: the first blocks of EfficientNet-Lite0.

Uni-Perceiver v2 likewise puts a convolutional network before its transformer; with the
little data and compute of the reference network, 16 x 16 patches are useful only thanks to it.
Batch normalisation is folded into the convolutions when the weights are imported
(``omnivec2.network.warmstart``), so the stem is plain convolutions.

Source of the architecture: Tan & Le, 2019, and the Lite variant (ReLU6, no
squeeze-and-excitation) of the TensorFlow TPU repository.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS: tuple[tuple[int, int, int, int, int], ...] = (
    # input channels, output channels, expansion, kernel, stride
    (32, 16, 1, 3, 1),
    (16, 24, 6, 3, 2), (24, 24, 6, 3, 1),
    (24, 40, 6, 5, 2), (40, 40, 6, 5, 1),
    (40, 80, 6, 3, 2), (80, 80, 6, 3, 1), (80, 80, 6, 3, 1),
    (80, 112, 6, 5, 1), (112, 112, 6, 5, 1), (112, 112, 6, 5, 1),
)  # fmt: skip
"""The blocks up to stride 16, which a stem may keep."""

LATER_BLOCKS: tuple[tuple[int, int, int, int, int], ...] = (
    (112, 192, 6, 5, 2),
    (192, 192, 6, 5, 1), (192, 192, 6, 5, 1), (192, 192, 6, 5, 1),
    (192, 320, 6, 3, 1),
)  # fmt: skip
"""The blocks at stride 32, whose sizes mean the same; :class:`DeepBlocks` keeps some of them."""

SHARED_BLOCKS = 8
"""The blocks that :class:`DeepBlocks` shares with the stem."""

STRIDE = 16


class PatchCells(nn.Module):
    """The plain patches of a ViT: images (B, channels, h, w) to cells that hold all their pixels.

    It has no weights: the linear map of a patch is the tokenizer's projection. A cell's numbers
    are in the order of a convolution's kernel, (channel, row, column).

    Args:
        channels: The number of input channels.
        patch: The side of a patch in pixels; height and width must divide by it.
    """

    def __init__(self, channels: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.channels_out = channels * patch**2

    def forward(self, x: Tensor) -> Tensor:
        """Cut pictures, (B, C, h, w) -> (B, C * patch * patch, h / patch, w / patch)."""
        batch, channels, height, width = x.shape
        rows, columns = height // self.patch, width // self.patch
        x = x.reshape(batch, channels, rows, self.patch, columns, self.patch)
        return x.permute(0, 1, 3, 5, 2, 4).reshape(batch, self.channels_out, rows, columns)


class SameConv(nn.Module):
    """A convolution with TensorFlow's SAME padding: the odd pixel goes to the end."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1
    ) -> None:
        super().__init__()
        total = kernel - stride
        self.pad = (total // 2, total - total // 2) * 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers, (B, C, h, w) -> (B, C', h / stride, w / stride)."""
        return self.conv(F.pad(x, self.pad))


class InvertedResidual(nn.Module):
    """A MobileNetV2 block: widen, depthwise convolution, narrow; residual if shapes allow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = nn.Conv2d(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, kernel, stride, groups=wide)
        self.narrow = nn.Conv2d(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers, (B, C, h, w) -> (B, C', h / stride, w / stride)."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.narrow(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class Stem(nn.Module):
    """A network from images (B, channels, h, w) to cells (B, ``channels_out``, h / 16, w / 16).

    Args:
        channels: The number of input channels; 3 takes ImageNet weights as they are, 1 their sum.
        blocks: The number of blocks to keep; 8 or 11 end at stride 16.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        if blocks not in (6, 7, 8, 9, 10, 11):
            raise ValueError(f"a stem of stride {STRIDE} keeps 6 to 11 blocks, not {blocks}")
        self.first = SameConv(channels, 32, 3, 2)
        self.blocks = nn.ModuleList(InvertedResidual(*b) for b in BLOCKS[:blocks])
        self.channels_out = BLOCKS[blocks - 1][1]

    def forward(self, x: Tensor) -> Tensor:
        """Run the first convolution and all kept blocks."""
        return self.later(self.earlier(x))

    def earlier(self, x: Tensor) -> Tensor:
        """Run the first convolution and the blocks that deep blocks share, at most."""
        x = F.relu6(self.first(x))
        for block in self.blocks[:SHARED_BLOCKS]:
            x = block(x)
        return x

    def later(self, x: Tensor) -> Tensor:
        """Run the blocks after :meth:`earlier`."""
        for block in self.blocks[SHARED_BLOCKS:]:
            x = block(x)
        return x


class DeepBlocks(nn.Module):
    """A branch from the middle of a stem to one vector: the mean of cells at stride 32.

    Tokens need cells that are near the pixels, and the last blocks of a stem learn what its tasks
    need. What a picture shows as a whole, EfficientNet tells with blocks that come later; heads
    that ask for the summary ``deep`` are given what those make of the stem's first eight.

    Args:
        blocks: The number of blocks: the next ones, and the last.
    """

    def __init__(self, blocks: int) -> None:
        super().__init__()
        sizes = BLOCKS + LATER_BLOCKS
        self.blocks = nn.ModuleList(InvertedResidual(*sizes[i]) for i in deep_places(blocks))
        self.channels_out = sizes[-1][1]

    def forward(self, cells: Tensor) -> Tensor:
        """Run the blocks and pool, (B, 80, h / 16, w / 16) -> (B, 320)."""
        for block in self.blocks:
            cells = block(cells)
        return cells.mean(dim=(2, 3))


def deep_places(blocks: int) -> tuple[int, ...]:
    """Return the places in EfficientNet of so many deep blocks.

    Raises:
        ValueError: There are too few to get from the stem's width to the last one's, or too many.
    """
    last = len(BLOCKS) + len(LATER_BLOCKS) - 1
    fewest, most = len(BLOCKS) + 2 - SHARED_BLOCKS, last + 1 - SHARED_BLOCKS
    if not fewest <= blocks <= most:
        raise ValueError(f"{fewest} to {most} deep blocks can be kept, not {blocks}")
    return (*range(SHARED_BLOCKS, SHARED_BLOCKS + blocks - 1), last)
