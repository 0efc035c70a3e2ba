"""The base of every configuration, and the sizes of a transformer, which most of them hold."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

NormOrder = Literal["post", "pre"]
"""The place of LayerNorm: after the residual (BERT), or before the branch (ViT)."""

_EPS: dict[NormOrder, float] = {"post": 1e-12, "pre": 1e-6}
"""The epsilon of LayerNorm in BERT and in ViT."""


class FrozenConfig(BaseModel):
    """Validated data that never changes; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TransformerConfig(FrozenConfig):
    """Sizes of a stack of transformer layers; ``width`` must divide by ``heads``."""

    depth: int = Field(gt=0)
    width: int = Field(gt=0)
    heads: int = Field(gt=0)
    ffn: int = Field(gt=0)
    norm: NormOrder | None = Field(
        default=None,
        description="place of LayerNorm, where it is not that of the stack: post (BERT), pre (ViT)",
        exclude_if=lambda value: value is None,
    )
    eps: float | None = Field(
        default=None,
        gt=0,
        description="epsilon of LayerNorm, where it is not 1e-12 (post) or 1e-6 (pre)",
        exclude_if=lambda value: value is None,
    )

    @model_validator(mode="after")
    def _width_divides_by_heads(self) -> TransformerConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide by {self.heads} heads")
        return self

    def norm_order(self, usual: NormOrder) -> NormOrder:
        """Return the place of LayerNorm, given the one that the stack usually has."""
        return self.norm or usual

    def norm_eps(self, usual: NormOrder) -> float:
        """Return the epsilon of LayerNorm, given the place that the stack usually has."""
        return self.eps or _EPS[self.norm_order(usual)]
