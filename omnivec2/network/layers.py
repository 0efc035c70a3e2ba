"""Primitives of the network, used by every other module of this package.

Shape suffixes: B batch, N tokens (queries), M tokens (keys), D width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.network.frozen_config import NormOrder, TransformerConfig

F_MEAN: Literal["f_mean"] = "f_mean"
"""The extra that f's transformer leaves for heads: the mean of its tokens, (B, f width)."""

F_INPUT_MEAN: Literal["f_input_mean"] = "f_input_mean"
"""The extra that goes with it: the mean of the tokens that f gets, (B, f width)."""


@dataclass
class Tokens:
    """A batch of token sequences.

    Attributes:
        x_BND: The tokens.
        mask_BN: A mask that is True where a token is real; None if all are.
        extras: The tensors that a tokenizer, or f, passes by the rest of the trunk to a head, e.g.
            a series' scale.
    """

    x_BND: Tensor
    mask_BN: Tensor | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)

    def with_x(self, x_BND: Tensor) -> Tokens:
        """Return other tokens with the same mask and extras."""
        return Tokens(x_BND, self.mask_BN, self.extras)


def init_bert(module: nn.Module) -> None:
    """Initialise every linear map inside as BERT does: small weights, no bias.

    A post-norm stack then begins close to the identity; torch's default, with its random
    biases, lets all tokens of all samples drift to one point before anything is learned.
    """
    for linear in module.modules():
        if isinstance(linear, nn.Linear):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)


class Attention(nn.Module):
    """Multi-head attention; queries from one sequence, keys and values from another."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, x_BND: Tensor, y_BMD: Tensor, mask_BM: Tensor | None = None) -> Tensor:
        """Attend from ``x`` to ``y``; masked tokens of ``y`` get no weight.

        Args:
            x_BND: The sequence that gives the queries.
            y_BMD: The sequence that gives keys and values.
            mask_BM: The real tokens of ``y``; (B, N, M) where that differs by query.
        """
        batch, _, width = x_BND.shape
        split = (batch, -1, self.heads, width // self.heads)
        q = self.query(x_BND).reshape(split).transpose(1, 2)
        k = self.key(y_BMD).reshape(split).transpose(1, 2)
        v = self.value(y_BMD).reshape(split).transpose(1, 2)
        bias = mask_BM
        if mask_BM is not None:
            bias = mask_BM[:, None, None, :] if mask_BM.ndim == 2 else mask_BM[:, None]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.output(mixed.transpose(1, 2).reshape(batch, -1, width))


class TransformerLayer(nn.Module):
    """One layer, with LayerNorm after the residual (BERT) or before the branch (ViT)."""

    def __init__(self, config: TransformerConfig, norm: NormOrder) -> None:
        super().__init__()
        self.norm = config.norm_order(norm)
        eps = config.norm_eps(norm)
        self.attention = Attention(config.width, config.heads)
        self.attention_norm = nn.LayerNorm(config.width, eps=eps)
        self.up = nn.Linear(config.width, config.ffn)
        self.down = nn.Linear(config.ffn, config.width)
        self.ffn_norm = nn.LayerNorm(config.width, eps=eps)

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """Mix tokens, then transform each."""
        if self.norm == "post":
            x_BND = self.attention_norm(x_BND + self.attention(x_BND, x_BND, mask_BN))
            return self.ffn_norm(x_BND + self.ffn(x_BND))
        y_BND = self.attention_norm(x_BND)
        x_BND = x_BND + self.attention(y_BND, y_BND, mask_BN)
        return x_BND + self.ffn(self.ffn_norm(x_BND))

    def ffn(self, x_BND: Tensor) -> Tensor:
        """Apply two linear maps with GELU between them."""
        return self.down(F.gelu(self.up(x_BND)))


class Transformer(nn.Module):
    """A stack of layers; a pre-norm stack ends in a LayerNorm.

    Args:
        config: The sizes.
        norm: The place of LayerNorm, unless the configuration has another.
    """

    def __init__(self, config: TransformerConfig, norm: NormOrder) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(config, norm) for _ in range(config.depth))
        is_pre = config.norm_order(norm) == "pre"
        eps = config.norm_eps(norm)
        self.final_norm = nn.LayerNorm(config.width, eps=eps) if is_pre else nn.Identity()
        init_bert(self)

    def forward(self, x_BND: Tensor, mask_BN: Tensor | None = None) -> Tensor:
        """Run all layers."""
        for layer in self.layers:
            x_BND = layer(x_BND, mask_BN)
        return self.final_norm(x_BND)


class GridPositions(nn.Module):
    """Learned positions of a grid of any rank: the axes' tables are concatenated.

    One table per axis keeps the parameters at the sum, not the product, of the sizes,
    and serves any grid up to the largest. Initialised with sine and cosine at a third of their
    amplitude: positions must not drown the content.
    """

    def __init__(self, sizes: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.sizes = sizes
        parts = _even_parts(width, len(sizes))
        self.tables = nn.ParameterList(
            nn.Parameter(sincos(size, part) / 3) for size, part in zip(sizes, parts, strict=True)
        )

    def forward(self, grid: tuple[int, ...]) -> Tensor:
        """Return the positions of a grid, row-major: (tokens, width)."""
        rank = len(grid)
        columns = []
        for axis, (table, size) in enumerate(zip(self.tables, grid, strict=True)):
            shape = [1] * rank + [table.shape[1]]
            shape[axis] = size
            columns.append(table[:size].reshape(shape).expand(*grid, -1))
        return torch.cat(columns, dim=-1).flatten(0, rank - 1)


class TablePositions(nn.Module):
    """A ViT's table of positions, a row for each place, interpolated to grids of another size.

    Args:
        sizes: The rows and columns of the table.
        frames: The number of places in time; one frame needs no table.
        width: The width of the tokens.
    """

    def __init__(self, sizes: tuple[int, int], frames: int, width: int) -> None:
        super().__init__()
        self.sizes = sizes
        start = GridPositions(sizes, width)(sizes).detach()
        self.table = nn.Parameter(start.clone())
        self.times = nn.Parameter(torch.zeros(frames, width)) if frames > 1 else None

    def forward(self, grid: tuple[int, ...]) -> Tensor:
        """Return the positions of a grid of frames, rows and columns: (tokens, width)."""
        frames, *size = grid
        places = resize_positions(self.table, self.sizes, (size[0], size[1]))
        if self.times is None:
            return places.repeat(frames, 1)
        return (self.times[:frames, None] + places).flatten(0, 1)


def resize_positions(table: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Resize a table of positions, as ViT and DINOv2 do for other sizes of pictures: bicubically.

    Args:
        table: The positions, row-major, (rows * columns, width).
        old: The rows and columns of the table.
        new: The rows and columns wanted.

    Returns:
        The positions of the new grid, (rows * columns, width).
    """
    if old == new:
        return table
    grid_1Drc = table.reshape(1, *old, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(grid_1Drc, size=new, mode="bicubic", align_corners=False)
    return resized.permute(0, 2, 3, 1).flatten(0, 2)


def _even_parts(width: int, count: int) -> list[int]:
    part = width // count // 2 * 2
    return [width - part * (count - 1)] + [part] * (count - 1)


def sincos(positions: int, width: int) -> Tensor:
    """Compute the sine and cosine table (positions, width) of Vaswani et al., 2017."""
    half = (width + 1) // 2
    rate = torch.exp(torch.arange(half) * (-torch.log(torch.tensor(10000.0)) / half))
    angle = torch.arange(positions)[:, None] * rate[None, :]
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]


def masked_mean(x_BND: Tensor, mask_BN: Tensor | None) -> Tensor:
    """Average over real tokens: (B, D)."""
    if mask_BN is None:
        return x_BND.mean(dim=1)
    weight_BN1 = mask_BN[..., None].to(x_BND.dtype)
    return (x_BND * weight_BN1).sum(dim=1) / weight_BN1.sum(dim=1)


class Pool(nn.Module):
    """The CLS token beside the mean of all real tokens: (B, 2 D)."""

    def forward(self, tokens: Tokens) -> Tensor:
        """Concatenate both summaries."""
        x = tokens.x_BND
        return torch.cat([x[:, 0], masked_mean(x, tokens.mask_BN)], dim=-1)
